"""Scenes in words become one film: a picture for each, crossfades between them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.estimates import estimate
from pipelines.local import LOCAL, made_somewhere, seed_of
from pipelines.media.moving import Pixels, crossfade, write_film
from pipelines.models import fitting
from pipelines.text_to_image import picture_seconds
from providers.catalogue import Model
from providers.local.base import LocalCall
from schemas.errors import UnsupportedOption
from schemas.media import Artifact, MediaFacts, Plan
from schemas.story_to_video import StoryToVideo

TYPE = "story-to-video"
#: The share of the work that is making pictures; encoding is the rest.
_PICTURING = 0.9
_MOST_SEED = 2**32


def story_to_video(data: StoryToVideo, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``. Every scene is made in one call of the model, as far as its batches allow."""
    ctx.tell(prompt=data.hero_description or data.prompts[0], prompts=data.prompts)
    made = made_somewhere(
        ctx,
        "generate",
        data,
        data.given(),
        TYPE,
        remote=_nobody,
        here=lambda step, model, values: _made_here(data, ctx, step, model, values),
    )
    ctx.tell(**made.details)
    return [made]


def plan(data: StoryToVideo, ctx: Context) -> Plan:
    """What ``story_to_video`` would make; the details are what the Image and Video API told beforehand."""
    model, values = fitting(data.models, data.given(), TYPE, ctx.catalogue, data.place)[0]
    seconds = picture_seconds(values, len(data.scenes))
    return Plan(
        frames=data.frames,
        duration_seconds=data.frames / data.fps,
        fps=float(data.fps),
        width=data.width,
        height=data.height,
        estimated_seconds=seconds,
        cost=estimate(model, values).cost,
        details={
            "scenes_count": len(data.scenes),
            "frames_per_scene": data.frames_per_scene,
            "transition_frames": data.transition_frames,
            "total_frames": data.frames,
            "total_duration_seconds": data.frames / data.fps,
            "fps": data.fps,
            "resolution": f"{data.width}x{data.height}",
            "estimated_generation_time_seconds": round(seconds),
            "model": model.id,
            "provider": LOCAL,
        },
    )


def shots(scenes: int, frames_per_scene: int, transition_frames: int) -> Iterator[tuple[str, int]]:
    """The film's pictures by name, ``scene/step of the crossfade to the next``, and for how many frames each stands."""
    for scene in range(scenes):
        yield f"{scene}/0", frames_per_scene
        if scene + 1 < scenes:
            for step in range(1, transition_frames + 1):
                yield f"{scene}/{step}", 1


def _made_here(data: StoryToVideo, ctx: Context, step: str, model: Model, values: Mapping[str, Any]) -> Artifact:
    base = seed_of(values, ctx)
    seeds = [(base + number) % _MOST_SEED for number in range(len(data.scenes))]

    def render(folder: Path, progress: Progress) -> Sequence[Artifact]:
        started = time.monotonic()
        call = LocalCall(
            prompts=data.prompts,
            seeds=seeds,
            width=data.width,
            height=data.height,
            parameters={**values, "consistency": data.consistency},
        )
        made = ctx.host.run(model, call, lambda part: progress(part * _PICTURING))

        def draw(name: str) -> Pixels:
            scene, fade = map(int, name.split("/"))
            if not fade:
                return made.pictures[scene]
            return crossfade(made.pictures[scene], made.pictures[scene + 1], fade, data.transition_frames)

        path = folder / "video.mp4"
        frames = write_film(
            path,
            list(shots(len(data.scenes), data.frames_per_scene, data.transition_frames)),
            draw,
            fps=data.fps,
            progress=lambda part: progress(_PICTURING + part * (1 - _PICTURING)),
        )
        details = {
            "model": model.id,
            "backend": model.id,
            "seed": base,
            "scene_seeds": seeds,
            "consistency": data.consistency,
            "num_inference_steps": values["num_inference_steps"],
            **made.details,
            "elapsed_seconds": round(time.monotonic() - started, 3),
        }
        return [film_artifact(path, data.width, data.height, frames, data.fps, details)]

    return ctx.call(step, render)[0]


def film_artifact(path: Path, width: int, height: int, frames: int, fps: int, details: Mapping[str, Any]) -> Artifact:
    """A film that was made here."""
    facts = MediaFacts(
        width=width,
        height=height,
        duration_seconds=round(frames / fps, 6),
        fps=float(fps),
        frames=frames,
        video_codec="h264",
    )
    return Artifact(name="video.mp4", content_type="video/mp4", facts=facts, path=path, details=dict(details))


def _nobody(step: str, names: Sequence[str]) -> Artifact:
    raise UnsupportedOption(
        f"data.model: {names[0]} is not a local model; a story is made by those only", field="data.model", step=step
    )
