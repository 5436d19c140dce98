"""A film made on this worker's own device, from text or from a picture and text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.media.inspect.decoded import decode_in_child
from pipelines.media.moving import write_film
from pipelines.models.estimates import Estimate
from pipelines.models.routing import LOCAL, backend_for, seed_of
from pipelines.story_to_video import film_artifact
from providers.catalogue import Model
from providers.local.base import LocalCall
from schemas.media import Artifact, InputFile, Plan

_FILMING = 0.9
#: Seconds that a second of film takes on a large card.
_SECONDS_A_SECOND = 40.0


def filmed(
    ctx: Context, step: str, model: Model, values: Mapping[str, Any], job_type: str, image: InputFile | None
) -> Artifact:
    """``video.mp4``: as many frames, and as large, as was asked for."""
    seed = seed_of(values, ctx)

    def render(folder: Path, progress: Progress) -> Sequence[Artifact]:
        started = time.monotonic()
        picture = None if image is None else decode_in_child(image, folder, ctx.bounds)
        call = LocalCall(
            prompts=(str(values["prompt"]),),
            seeds=(seed,),
            width=int(values["width"]),
            height=int(values["height"]),
            frames=int(values["num_frames"]),
            parameters=values,
            image=picture,
            low_memory=bool(values.get("low_vram")),
        )
        backend = backend_for(model, call, job_type, ctx.catalogue, ctx.host, progress)
        made = ctx.host.run(backend, call, lambda part: progress(part * _FILMING))
        path = folder / "video.mp4"
        fps = int(values["fps"])
        frames = write_film(
            path,
            [(str(number), 1) for number in range(len(made.pictures))],
            lambda name: made.pictures[int(name)],
            fps=fps,
            progress=lambda part: progress(_FILMING + part * (1 - _FILMING)),
        )
        details = {
            "model": backend.id,
            "backend": backend.id,
            "seed": seed,
            "low_vram": call.low_memory,
            **made.details,
            "elapsed_seconds": round(time.monotonic() - started, 3),
        }
        return [film_artifact(path, call.width, call.height, frames, fps, details)]

    return ctx.step(step, render)[0]


def planned_here(model: Model, values: Mapping[str, Any], before: Estimate) -> Plan:
    """What ``filmed`` would make."""
    frames, fps = int(values["num_frames"]), int(values["fps"])
    return Plan(
        frames=frames,
        duration_seconds=frames / fps,
        fps=float(fps),
        width=int(values["width"]),
        height=int(values["height"]),
        estimated_seconds=round(frames / fps * _SECONDS_A_SECOND, 1) + before.seconds,
        cost=before.cost,
        details={"model": model.id, "provider": LOCAL, "parameters": dict(values)},
    )
