"""A portrait speaks or sings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.context import Context
from pipelines.image_to_prompt import LIMIT_BYTES, picture
from pipelines.media.inspect.probing import seconds_of
from pipelines.text_to_video import film, planned
from schemas.audio_to_video import AudioToVideo
from schemas.media import Artifact, InputFile, Plan

TYPE = "audio-to-video"
_SOUNDS = ("mp3", "wav")


def audio_to_video(data: AudioToVideo, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``."""
    inputs, parameters = _material(data, ctx)
    ctx.annotate(prompt=data.prompt)
    return [film(ctx, "animate", data, parameters, TYPE, inputs)]


def plan(data: AudioToVideo, ctx: Context) -> Plan:
    """What ``audio_to_video`` would make and cost. Both inputs are fetched, and the audio is measured."""
    return planned(TYPE, data, _material(data, ctx)[1], ctx)


def _material(data: AudioToVideo, ctx: Context) -> tuple[dict[str, InputFile], dict[str, Any]]:
    """The inputs, and the parameters with the length of the audio."""
    image = picture(data.image, ctx)
    audio = ctx.input("audio", data.audio, kinds=_SOUNDS, limit_bytes=LIMIT_BYTES)
    seconds = data.audio_duration or audio.seconds or max(0.01, round(seconds_of(audio, ctx.bounds), 2))
    return {"image": image, "audio": audio}, {**data.given(), "audio_duration": seconds}
