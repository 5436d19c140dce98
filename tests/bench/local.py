"""Local models: a story's pictures in one call or in several, a warm model or a load for each job, memory over jobs.

``python -m tests.bench.local --model segmind/tiny-sd --size 512`` measures another model than the demonstration's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumer import logs
from providers.catalogue import Model
from providers.local.base import LocalCall
from providers.local.host import ModelHost, host_for
from providers.local.machine import peak_bytes
from providers.registry import catalogue_of
from schemas.settings import Settings

_SCENES = 5
_PLACES = ("at night", "on a beach", "in a city", "in a forest", "under the sea")
_PAGE_BYTES = 4096


def main() -> None:
    """Measure and print as Markdown; with ``--json`` write a file too."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.local", description=__doc__)
    options.add_argument("--json", type=Path, help="a file for the figures")
    options.add_argument("--model", default="demo-shapes")
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--steps", type=int, default=25)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--jobs", type=int, default=100)
    given = options.parse_args()
    logs.configure("WARNING", "auto")
    settings = Settings()
    model = catalogue_of(settings).find(given.model, "story-to-video")
    figures = measure(host_for(settings), model, given.size, given.steps, runs=given.runs, jobs=given.jobs)
    print(markdown(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(host: ModelHost, model: Model, size: int, steps: int, *, runs: int, jobs: int) -> dict[str, Any]:
    """Return the figures, each a median of ``runs``."""

    def pictures(first: int, count: int) -> None:
        call = LocalCall(
            prompts=[f"a big red circle, {place}" for place in _PLACES[first : first + count]],
            seeds=tuple(range(first, first + count)),
            width=size,
            height=size,
            parameters={"num_inference_steps": steps},
        )
        host.run(model, call, lambda part: None)

    def each() -> None:
        for scene in range(_SCENES):
            pictures(scene, 1)

    def reloaded() -> None:
        host.unload_all()
        pictures(0, 1)

    pictures(0, 1)
    peaks = {
        "single": peak_bytes(each, host.device.kind),
        "batched": peak_bytes(lambda: pictures(0, _SCENES), host.device.kind),
    }
    batched = _median(lambda: pictures(0, _SCENES), runs)
    single = _median(each, runs)
    warm = _median(lambda: pictures(0, 1), runs)
    cold = _median(reloaded, runs)
    memory = []
    for number in range(jobs):
        pictures(number % _SCENES, 1)
        if number in (4, jobs - 1):
            memory.append(_resident_bytes())
    return {
        "model": model.id,
        "device": host.device.kind,
        "size": size,
        "steps": steps,
        "story_batched_seconds": batched,
        "story_single_seconds": single,
        "story_batched_peak_bytes": peaks["batched"],
        "story_single_peak_bytes": peaks["single"],
        "batching_gain": round(single / batched, 2),
        "pictures_per_second": round(_SCENES / batched, 2),
        "job_warm_seconds": warm,
        "job_loading_seconds": cold,
        "memory_after_5_bytes": memory[0],
        "memory_at_end_bytes": memory[-1],
        "jobs": jobs,
    }


def markdown(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    what = f"{figures['model']}, {figures['size']}², {figures['steps']} steps, {figures['device']}"
    rows = (
        ("story of 5 scenes, one call", f"{figures['story_batched_seconds']:.3f} s"),
        ("story of 5 scenes, a call each", f"{figures['story_single_seconds']:.3f} s"),
        ("most memory, one call", f"{figures['story_batched_peak_bytes'] / 1e6:.0f} MB"),
        ("most memory, a call each", f"{figures['story_single_peak_bytes'] / 1e6:.0f} MB"),
        ("pictures a second, batched", f"{figures['pictures_per_second']:.1f}"),
        ("one picture, model warm", f"{figures['job_warm_seconds']:.3f} s"),
        ("one picture, model loaded for it", f"{figures['job_loading_seconds']:.3f} s"),
        ("memory after 5 jobs", f"{figures['memory_after_5_bytes'] / 1e6:.0f} MB"),
        (f"memory after {figures['jobs']} jobs", f"{figures['memory_at_end_bytes'] / 1e6:.0f} MB"),
    )
    return "\n".join([f"| {what} | median |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])


def _median(work: Callable[[], object], runs: int) -> float:
    took = []
    for _ in range(runs):
        started = time.monotonic()
        work()
        took.append(time.monotonic() - started)
    return round(statistics.median(took), 4)


def _resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


if __name__ == "__main__":
    main()
