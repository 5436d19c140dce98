"""The video of a story, made on this worker: one image per scene, and crossfades in between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.context import Context, ModelCall, Progress
from pipelines.media.film_sound import read_sound
from pipelines.media.inspect.in_child import encode_in_child
from pipelines.media.silent_film import Pixels, ReadSound, crossfade, write_silent_film
from pipelines.models.generate import LocalTask
from pipelines.models.hero import generates_hero, make_hero
from pipelines.models.local_film import video_file
from pipelines.models.routing import seed_of
from providers.local.base import LocalCall
from schemas.errors import UnsupportedOption
from schemas.media import InputFile, LocalFile, StoredArtifact
from schemas.story_to_video import StoryToVideo

#: The models' share of the work; encoding is the rest.
_MODEL_SHARE = 0.9
_SEEDS = 2**32


def shots(scenes: int, frames_per_scene: int, transition_frames: int) -> Iterator[tuple[str, int]]:
    """Yield the video's images in order: the name, ``scene/step of the crossfade to the next``, and the frame count."""
    for scene in range(scenes):
        yield f"{scene}/0", frames_per_scene
        if scene + 1 < scenes:
            for step in range(1, transition_frames + 1):
                yield f"{scene}/{step}", 1


@dataclass(frozen=True, slots=True)
class StoryOutput:
    """``video.mp4``, and ``hero.png`` if the image of the hero is generated. Only local models make it."""

    data: StoryToVideo
    #: The sound under the video.
    audio: InputFile | None = None

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        """Reject remote models.

        Raises:
            UnsupportedOption: Always.
        """
        raise UnsupportedOption(
            f"data.model: {call.models[0]} is not a local model; story-to-video supports local models only",
            field="data.model",
            step=step,
        )

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        """Make the video with a local model."""

        def make(folder: Path, progress: Progress) -> Sequence[LocalFile]:
            return self._make(ctx, task, folder, progress)

        return ctx.step(step, make)

    def _make(self, ctx: Context, task: LocalTask, folder: Path, progress: Progress) -> Sequence[LocalFile]:
        started = time.monotonic()
        data, values = self.data, task.parameters
        sound = self._sound(folder, ctx)
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
        video = _encode(
            data, result.images, folder, lambda part: progress(_MODEL_SHARE + part * (1 - _MODEL_SHARE)), sound
        )
        details["elapsed_seconds"] = round(time.monotonic() - started, 3)
        video = video.model_copy(update={"details": details})
        return [video] if hero is None or hero.file is None else [video, hero.file]

    def _sound(self, folder: Path, ctx: Context) -> ReadSound | None:
        """Encode the sound; before the model runs, because a file that cannot be used must not cost its time."""
        if self.audio is None:
            return None
        seconds = self.data.frames / self.data.fps
        path, length = encode_in_child(self.audio, folder, seconds, ctx.bounds)
        return lambda: read_sound(path, length, seconds)


def _encode(
    data: StoryToVideo, images: Sequence[Pixels], folder: Path, progress: Progress, sound: ReadSound | None
) -> LocalFile:
    """Write the video of the images and the crossfades between them."""

    def draw(name: str) -> Pixels:
        scene, fade = map(int, name.split("/"))
        if not fade:
            return images[scene]
        return crossfade(images[scene], images[scene + 1], fade, data.transition_frames)

    path = folder / "video.mp4"
    frames = write_silent_film(
        path,
        list(shots(len(data.scenes), data.frames_per_scene, data.transition_frames)),
        draw,
        fps=data.fps,
        progress=progress,
        sound=sound,
    )
    return video_file(path, data.width, data.height, frames, data.fps, {}, audio_codec=sound and "aac")
