"""``audio-to-video``: a portrait speaks or sings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.context import Context
from pipelines.media.inspect.in_child import seconds_of
from pipelines.models.images import MAX_IMAGE_BYTES, fetch_image
from pipelines.models.video import generate_video, plan_video
from schemas.audio_to_video import AudioToVideo
from schemas.media import InputFile, Plan, StoredArtifact

TYPE = "audio-to-video"
_AUDIO_KINDS = ("mp3", "wav")
_MAX_AUDIO_BYTES = MAX_IMAGE_BYTES


def audio_to_video(data: AudioToVideo, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``video.mp4``."""
    inputs, parameters = _fetch(data, ctx)
    ctx.annotate(prompt=data.prompt)
    return generate_video(ctx, "animate", TYPE, data, parameters=parameters, inputs=inputs)


def plan(data: AudioToVideo, ctx: Context) -> Plan:
    """Return the plan of an ``audio-to-video`` job. Both inputs are fetched, and the audio is measured."""
    return plan_video(ctx, TYPE, data, _fetch(data, ctx)[1])


def _fetch(data: AudioToVideo, ctx: Context) -> tuple[dict[str, InputFile], dict[str, Any]]:
    """Fetch the inputs. Return them, and the parameters with the length of the audio."""
    image = fetch_image(ctx, data.image)
    audio = ctx.input("audio", data.audio, kinds=_AUDIO_KINDS, limit_bytes=_MAX_AUDIO_BYTES)
    seconds = data.audio_duration or audio.seconds or max(0.01, round(seconds_of(audio, ctx.bounds), 2))
    return {"image": image, "audio": audio}, {**data.explicit_parameters(), "audio_duration": seconds}
