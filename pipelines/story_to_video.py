"""``story-to-video``: scenes described in words become one video, one image per scene with crossfades in between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.context import Context, ModelCall, Progress
from pipelines.media.moving import Pixels, crossfade, write_film
from pipelines.models.estimates import estimate
from pipelines.models.generate import LocalTask, generate
from pipelines.models.hero import fetch_hero_image, generates_hero, make_hero, models_for
from pipelines.models.images import image_seconds
from pipelines.models.local_film import video_file
from pipelines.models.matching import candidates
from pipelines.models.routing import LOCAL, seed_of
from providers.catalogue import Catalogue
from providers.local.base import LocalCall
from schemas.errors import UnsupportedOption
from schemas.media import LocalFile, Plan, StoredArtifact
from schemas.story_to_video import StoryToVideo

TYPE = "story-to-video"
#: The models' share of the work; encoding is the rest.
_MODEL_SHARE = 0.9
_SEEDS = 2**32


def story_to_video(data: StoryToVideo, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``video.mp4``, and ``hero.png`` if the image of the hero is generated."""
    able = data.model_copy(update={"model": models_for(data, TYPE, ctx.catalogue)})
    given = fetch_hero_image(data, ctx)
    ctx.annotate(prompt=data.hero_description or data.prompts[0], prompts=data.prompts)
    inputs = {} if given is None else {"hero_image": given}
    made = generate(ctx, "generate", TYPE, able, _Story(data), inputs=inputs)
    ctx.annotate(**made[0].details)
    return made


def check(data: StoryToVideo, job_type: str, catalogue: Catalogue) -> None:
    """Check that a model accepts the parameters, and has an adapter if the story needs one.

    Raises:
        RequestError: No model does.
    """
    models_for(data, job_type, catalogue)


def plan(data: StoryToVideo, ctx: Context) -> Plan:
    """Return the plan of a ``story-to-video`` job. Its details are those of the Image and Video Generation API."""
    fetch_hero_image(data, ctx)
    able = models_for(data, TYPE, ctx.catalogue)
    model, values = candidates(able, data.explicit_parameters(), TYPE, ctx.catalogue, data.field_path)[0]
    seconds = image_seconds(values, len(data.scenes) + generates_hero(data))
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
    """Yield the video's images in order: the name, ``scene/step of the crossfade to the next``, and the frame count."""
    for scene in range(scenes):
        yield f"{scene}/0", frames_per_scene
        if scene + 1 < scenes:
            for step in range(1, transition_frames + 1):
                yield f"{scene}/{step}", 1


@dataclass(frozen=True, slots=True)
class _Story:
    """The video of a story. Only local models make it."""

    data: StoryToVideo

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        raise UnsupportedOption(
            f"data.model: {call.models[0]} is not a local model; story-to-video supports local models only",
            field="data.model",
            step=step,
        )

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        def make(folder: Path, progress: Progress) -> Sequence[LocalFile]:
            return self._make(ctx, task, folder, progress)

        return ctx.step(step, make)

    def _make(self, ctx: Context, task: LocalTask, folder: Path, progress: Progress) -> Sequence[LocalFile]:
        started = time.monotonic()
        data, values = self.data, task.parameters
        base = seed_of(values, ctx)
        seeds = [(base + number) % _SEEDS for number in range(len(data.scenes))]
        hero_share = generates_hero(data) / (len(data.scenes) + generates_hero(data))
        hero = None
        if data.consistency == "reference":
            hero = make_hero(data, ctx, task, folder, lambda part: progress(part * hero_share * _MODEL_SHARE))
        call = LocalCall(
            prompts=data.prompts,
            seeds=seeds,
            width=data.width,
            height=data.height,
            parameters={**values, "consistency": data.consistency},
            image=None if hero is None else hero.picture,
        )
        result = ctx.host.run(
            task.model, call, lambda part: progress((hero_share + part * (1 - hero_share)) * _MODEL_SHARE)
        )
        details = {
            "model": task.model.id,
            "backend": task.model.id,
            "seed": base,
            "scene_seeds": seeds,
            "consistency": data.consistency,
            **({} if hero is None else {"reference": dict(hero.details)}),
            "num_inference_steps": values["num_inference_steps"],
            **result.details,
        }
        video = _encode(data, result.images, folder, lambda part: progress(_MODEL_SHARE + part * (1 - _MODEL_SHARE)))
        details["elapsed_seconds"] = round(time.monotonic() - started, 3)
        video = video.model_copy(update={"details": details})
        return [video] if hero is None or hero.file is None else [video, hero.file]


def _encode(data: StoryToVideo, images: Sequence[Pixels], folder: Path, progress: Progress) -> LocalFile:
    """Write the video of the images and the crossfades between them."""

    def draw(name: str) -> Pixels:
        scene, fade = map(int, name.split("/"))
        if not fade:
            return images[scene]
        return crossfade(images[scene], images[scene + 1], fade, data.transition_frames)

    path = folder / "video.mp4"
    frames = write_film(
        path,
        list(shots(len(data.scenes), data.frames_per_scene, data.transition_frames)),
        draw,
        fps=data.fps,
        progress=progress,
    )
    return video_file(path, data.width, data.height, frames, data.fps, {})
