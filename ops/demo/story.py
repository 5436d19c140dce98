"""``make demo-story``: a short story video from text with the demo models; no download, no GPU."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from ops.demo.__main__ import main

HERO = "a red circle"
SCENES = ("at sunset", "at night", "on a beach", "in a forest", "in a city", "under the sea")


def story_request(callback_url: str) -> dict[str, Any]:
    """Return a story-to-video request with six scenes."""
    return {
        "id": f"story-{int(time.time())}",
        "type": "story-to-video",
        "data": {
            "model": "demo-shapes",
            "hero_description": HERO,
            "scenes": list(SCENES),
            "num_inference_steps": 20,
            "duration_per_scene": 1.5,
            "seed": 100,
        },
        "callback": {"url": callback_url},
    }


if __name__ == "__main__":
    # One thread, because on busy cores several threads spend more time waiting for each other than working.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(story_request))
