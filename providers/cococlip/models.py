"""Catalogue entries of Cococlip.

Cococlip publishes no price list, so prices are 0.00 until the operator sets ``price`` in ``[[models]]``. A budget
cannot limit calls without a price.

Its models are other companies' models. ``routes`` names the entries that reach them, or their like, at providers that
are open to everyone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.catalogue import Model, Parameter

_TEXT = "text-to-video"
_IMAGE = "image-to-video"
_AUDIO = "audio-to-video"


def _prompt(longest: int, *, required: bool = True) -> Parameter:
    return Parameter(longest=longest, required=required, description="What to show.")


def _video(
    id: str,  # noqa: A002
    kind: str,
    type_: str,
    parameters: Mapping[str, Parameter],
    description: str,
    **fields: Any,
) -> Model:
    return Model(
        id=id,
        provider="cococlip",
        types=(type_,),
        remote=f"{kind}/{id}",
        owned_by="cococlip",
        description=description,
        parameters=parameters,
        first_wait_seconds=10,
        poll_seconds=10,
        timeout_seconds=1800,
        **fields,
    )


MODELS: tuple[Model, ...] = (
    _video(
        "hailuo02standard",
        "text2video",
        _TEXT,
        {"prompt": _prompt(1000), "duration": Parameter.choice(6, default=6, description="Seconds.")},
        "The best quality from text.",
        routes=("hailuo-02",),
    ),
    _video(
        "seedancev1lite",
        "text2video",
        _TEXT,
        {
            "prompt": _prompt(1000),
            "duration": Parameter.choice(5, 10, default=5, description="Seconds."),
            "resolution": Parameter.choice("720p", "1080p", default="720p"),
            "aspect_ratio": Parameter.choice("9:16", "16:9", "1:1", default="16:9"),
        },
        "Light, in three aspect ratios.",
        routes=("seedance-1-lite", "runpod-seedance-1-pro"),
    ),
    _video(
        "hailuo23fast",
        "image2video",
        _IMAGE,
        {
            "prompt": _prompt(500),
            "resolution": Parameter.choice("768p", default="768p", description="Fixed by the model."),
            "duration": Parameter.choice(6, 10, default=6, description="Seconds."),
        },
        "Animates an image quickly.",
        names={"resolution": ""},
        routes=("hailuo-2.3-fast",),
    ),
    _video(
        "wan25fast",
        "image2video",
        _IMAGE,
        {
            "prompt": _prompt(500),
            "resolution": Parameter.choice("720p", "1080p", default="720p"),
            "duration": Parameter.choice(5, 10, default=5, description="Seconds."),
            "negative_prompt": Parameter(longest=500, description="What should not appear."),
        },
        "Animates an image in high quality.",
        routes=("wan-2.5-i2v-fast", "runpod-wan-2-5"),
    ),
    _video(
        "Infinitetalk",
        "audio2video",
        _AUDIO,
        {
            "prompt": _prompt(500, required=False),
            "resolution": Parameter.choice("720p", "1080p", default="1080p"),
            "audio_duration": Parameter(
                kind="number", minimum=0.01, description="Seconds. Default: measured from the file."
            ),
        },
        "Makes a portrait speak. The video is as long as the audio.",
        routes=("runpod-infinitetalk", "p-video-avatar", "runpod-p-video-audio"),
    ),
)
