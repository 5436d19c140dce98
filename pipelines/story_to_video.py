"""``story-to-video``: scenes described in words become one video, one image per scene with crossfades in between."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.context import Context
from pipelines.media.inspect.in_child import seconds_of
from pipelines.media.inspect.sniff import SOUND_KINDS
from pipelines.media.inspect.sound_headers import MAX_AUDIO_BYTES
from pipelines.models.estimates import estimate
from pipelines.models.generate import generate
from pipelines.models.hero import fetch_hero_image, generates_hero, models_for
from pipelines.models.images import image_seconds
from pipelines.models.local_names import LOCAL
from pipelines.models.local_story import StoryOutput
from pipelines.models.matching import candidates
from providers.catalogue import Catalogue
from schemas.media import InputFile, Plan, StoredArtifact
from schemas.story_to_video import StoryToVideo

TYPE = "story-to-video"


def story_to_video(data: StoryToVideo, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``video.mp4``, and ``hero.png`` if the image of the hero is generated."""
    able = data.model_copy(update={"model": models_for(data, TYPE, ctx.catalogue)})
    given = fetch_hero_image(data, ctx)
    ctx.annotate(prompt=data.hero_description or data.prompts[0], prompts=data.prompts)
    audio = _fetch_audio(data, ctx)
    inputs = {} if given is None else {"hero_image": given}
    made = generate(ctx, "generate", TYPE, able, StoryOutput(data, audio), inputs=inputs)
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
    if (audio := _fetch_audio(data, ctx)) is not None:
        seconds_of(audio, ctx.bounds)
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


def _fetch_audio(data: StoryToVideo, ctx: Context) -> InputFile | None:
    if data.audio is None:
        return None
    return ctx.input("audio", data.audio, kinds=SOUND_KINDS, limit_bytes=MAX_AUDIO_BYTES)
