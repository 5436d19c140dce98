"""Videos that are made on this worker: by a local video model, and their plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.media.inspect.in_child import decode_in_child
from pipelines.media.silent_film import write_silent_film
from pipelines.models.estimates import Estimate
from pipelines.models.generate import LocalTask
from pipelines.models.local_names import LOCAL
from pipelines.models.routing import choose_backend, seed_of
from providers.catalogue import Model
from providers.local.base import LocalCall
from providers.weights import Weights
from schemas.media import LocalFile, MediaFacts, Plan, StoredArtifact

#: The model's share of the work; encoding is the rest.
_MODEL_SHARE = 0.9
#: Seconds of work on a large GPU for a million pixels of one frame and one denoising step: 64 frames of 720x720 with 50
#: steps take about 107 s. Attention makes larger films slower than that, so this is a lower bound for them.
_SECONDS_PER_MEGAPIXEL_STEP = 0.0643


def generate_video_locally(ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
    """Make ``video.mp4`` with a local model, with the number of frames and the size that the request asks for."""

    def make(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        return [_make(ctx, task, folder, progress)]

    return ctx.step(step, make)


def _make(ctx: Context, task: LocalTask, folder: Path, progress: Progress) -> LocalFile:
    started = time.monotonic()
    call = _local_call(ctx, task, folder)
    backend = choose_backend(task.model, call, task.job_type, ctx.catalogue, ctx.host, progress)
    result = ctx.host.run(backend, call, lambda part: progress(part * _MODEL_SHARE))
    path = folder / "video.mp4"
    fps = int(task.parameters["fps"])
    frames = write_silent_film(
        path,
        [(str(number), 1) for number in range(len(result.images))],
        lambda name: result.images[int(name)],
        fps=fps,
        progress=lambda part: progress(_MODEL_SHARE + part * (1 - _MODEL_SHARE)),
    )
    details = {
        "model": backend.id,
        "backend": backend.id,
        "seed": call.seeds[0],
        "low_vram": call.low_memory,
        **result.details,
        "elapsed_seconds": round(time.monotonic() - started, 3),
    }
    return video_file(path, call.width, call.height, frames, fps, details)


def _local_call(ctx: Context, task: LocalTask, folder: Path) -> LocalCall:
    values, image = task.parameters, task.inputs.get("image")
    return LocalCall(
        prompts=(str(values["prompt"]),),
        seeds=(seed_of(values, ctx),),
        width=int(values["width"]),
        height=int(values["height"]),
        frames=int(values["num_frames"]),
        parameters=values,
        image=None if image is None else decode_in_child(image, folder, ctx.bounds),
        low_memory=bool(values.get("low_vram")),
    )


def plan_local(model: Model, values: Mapping[str, Any], before: Estimate) -> Plan:
    """Return the plan of a video by a local model. ``before`` is the estimate of the calls that precede it."""
    frames, fps = int(values["num_frames"]), int(values["fps"])
    return Plan(
        frames=frames,
        duration_seconds=frames / fps,
        fps=float(fps),
        width=int(values["width"]),
        height=int(values["height"]),
        estimated_seconds=_estimated_seconds(model, values) + before.seconds,
        cost=before.cost,
        details={"model": model.id, "provider": LOCAL, "parameters": dict(values)},
    )


def _estimated_seconds(model: Model, values: Mapping[str, Any]) -> float:
    """Estimate the work from the frames, pixels and steps that the model makes; ``fps`` only changes the playback."""
    weights = model.weights or Weights(family="film", source="")  # an entry that cannot run yet
    width, height = weights.size_for(int(values["width"]), int(values["height"]))
    frames, steps = weights.frames_for(int(values["num_frames"])), values.get("num_inference_steps") or weights.steps
    return round(frames * width * height / 1e6 * int(steps) * _SECONDS_PER_MEGAPIXEL_STEP, 1)


def video_file(
    path: Path,
    width: int,
    height: int,
    frames: int,
    fps: int,
    details: Mapping[str, Any],
    *,
    audio_codec: str | None = None,
) -> LocalFile:
    """Return the result file of an H.264 video in ``path``; without ``audio_codec`` it is silent."""
    facts = MediaFacts(
        width=width,
        height=height,
        duration_seconds=round(frames / fps, 6),
        fps=float(fps),
        frames=frames,
        video_codec="h264",
        audio_codec=audio_codec,
    )
    return LocalFile(name="video.mp4", content_type="video/mp4", facts=facts, path=path, details=dict(details))
