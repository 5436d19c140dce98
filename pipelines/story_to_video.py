"""Scenes in words become one film: a picture for each, crossfades between them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.media.moving import Pixels, crossfade, write_film
from pipelines.models.estimates import estimate
from pipelines.models.hero import Hero, hero, hero_image, makes_hero, models_for
from pipelines.models.matching import fitting
from pipelines.models.routing import LOCAL, made_somewhere, seed_of
from pipelines.text_to_image import picture_seconds
from providers.catalogue import Catalogue, Model
from providers.local.base import LocalCall
from schemas.errors import UnsupportedOption
from schemas.media import Artifact, InputFile, MediaFacts, Plan
from schemas.story_to_video import StoryToVideo

TYPE = "story-to-video"
#: The share of the work that is making pictures; encoding is the rest.
_PICTURING = 0.9
_MOST_SEED = 2**32


def story_to_video(data: StoryToVideo, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``, and ``hero.png`` where the hero's picture was made.

    Every scene is made in one call of the model, as far as its batches allow.
    """
    able = data.model_copy(update={"model": models_for(data, TYPE, ctx.catalogue)})
    given = hero_image(data, ctx)
    ctx.annotate(prompt=data.hero_description or data.prompts[0], prompts=data.prompts)
    made = made_somewhere(
        ctx,
        "generate",
        able,
        able.given(),
        TYPE,
        remote=_nobody,
        here=lambda step, model, values: _made_here(data, ctx, step, model, values, given),
    )
    ctx.annotate(**made[0].details)
    return made


def check(data: StoryToVideo, job_type: str, catalogue: Catalogue) -> None:
    """Nothing, if a model takes the parameters, and has an adapter where the story needs one.

    Raises:
        RequestError: none does.
    """
    models_for(data, job_type, catalogue)


def plan(data: StoryToVideo, ctx: Context) -> Plan:
    """What ``story_to_video`` would make; the details are what the Image and Video API told beforehand."""
    hero_image(data, ctx)
    able = models_for(data, TYPE, ctx.catalogue)
    model, values = fitting(able, data.given(), TYPE, ctx.catalogue, data.place)[0]
    seconds = picture_seconds(values, len(data.scenes) + makes_hero(data))
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


def _made_here(
    data: StoryToVideo,
    ctx: Context,
    step: str,
    model: Model,
    values: Mapping[str, Any],
    given: InputFile | None,
) -> Sequence[Artifact]:
    base = seed_of(values, ctx)
    seeds = [(base + number) % _MOST_SEED for number in range(len(data.scenes))]

    def render(folder: Path, progress: Progress) -> Sequence[Artifact]:
        started = time.monotonic()
        whose: Hero | None = None
        before = makes_hero(data) / (len(data.scenes) + makes_hero(data))
        if data.consistency == "reference":
            whose = hero(
                data, ctx, model, values, base, given, folder, lambda part: progress(part * before * _PICTURING)
            )
        call = LocalCall(
            prompts=data.prompts,
            seeds=seeds,
            width=data.width,
            height=data.height,
            parameters={**values, "consistency": data.consistency},
            image=None if whose is None else whose.picture,
        )
        made = ctx.host.run(model, call, lambda part: progress((before + part * (1 - before)) * _PICTURING))
        details = {
            "model": model.id,
            "backend": model.id,
            "seed": base,
            "scene_seeds": seeds,
            "consistency": data.consistency,
            **({} if whose is None else {"reference": dict(whose.details)}),
            "num_inference_steps": values["num_inference_steps"],
            **made.details,
        }
        film = _film(data, made.pictures, folder, lambda part: progress(_PICTURING + part * (1 - _PICTURING)))
        details["elapsed_seconds"] = round(time.monotonic() - started, 3)
        film = film.model_copy(update={"details": details})
        return [film] if whose is None or whose.artifact is None else [film, whose.artifact]

    return ctx.step(step, render)


def _film(data: StoryToVideo, pictures: Sequence[Pixels], folder: Path, progress: Progress) -> Artifact:
    """The pictures as they stand one after another, and the crossfades between them."""

    def draw(name: str) -> Pixels:
        scene, fade = map(int, name.split("/"))
        if not fade:
            return pictures[scene]
        return crossfade(pictures[scene], pictures[scene + 1], fade, data.transition_frames)

    path = folder / "video.mp4"
    frames = write_film(
        path,
        list(shots(len(data.scenes), data.frames_per_scene, data.transition_frames)),
        draw,
        fps=data.fps,
        progress=progress,
    )
    return film_artifact(path, data.width, data.height, frames, data.fps, {})


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


def _nobody(step: str, names: Sequence[str]) -> Sequence[Artifact]:
    raise UnsupportedOption(
        f"data.model: {names[0]} is not a local model; a story is made by those only", field="data.model", step=step
    )
