"""A reel: one picture, one song, and its lyrics as captions."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import structlog
from PIL import ImageColor

from pipelines.context import Context, Progress
from pipelines.media.sandbox import DEFAULT_BOUNDS, Bounds, run_child
from schemas.media import Artifact, InputFile, MediaFacts, Plan
from schemas.reel import Reel

_log = structlog.get_logger()

_INPUT_LIMIT_BYTES = 100 * 1024 * 1024
_FPS = 30.0


def reel(data: Reel, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``, ``captions.srt`` and ``captions.vtt``.

    A crash before the render is stored repeats it: nothing outside the job's folder was touched.
    """
    image, audio = _inputs(data, ctx)
    return ctx.call(
        "render",
        lambda folder, progress: render_reel(data, image, audio, folder, progress, bounds=ctx.bounds),
    )


def plan(data: Reel, ctx: Context) -> Plan:
    """What ``reel`` would make of ``data``. Both inputs are fetched and read whole; nothing is rendered."""
    image, audio = _inputs(data, ctx)
    with tempfile.TemporaryDirectory() as folder:
        facts = run_child({"do": "plan", "film": _film(data, image, audio, Path(folder))}, Path(folder), ctx.bounds)
    return Plan(
        frames=facts["frames"],
        duration_seconds=facts["duration_seconds"],
        fps=_FPS,
        width=data.width,
        height=data.height,
        estimated_seconds=_estimate(data, facts),
        details={"captions": facts["captions"], "pictures": facts["pictures"]},
    )


def render_reel(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    folder: Path,
    progress: Progress = lambda _: None,
    *,
    bounds: Bounds = DEFAULT_BOUNDS,
    encoder: str = "skip",
) -> list[Artifact]:
    """Render into ``folder``, in a child process within ``bounds``, and return the files made.

    ``encoder`` is ``skip``, which writes frames that repeat a picture as skip slices, or ``plain``,
    which encodes every frame. ``skip`` turns to ``plain`` by itself where the encoder's stream does
    not allow it, and says so in the log.

    Raises:
        InputError: an input cannot be used.
        LyricsTooLong: a caption would be seen for less than one frame.
        RenderError: the child failed, took too long or needed too much memory.
    """
    film = _film(data, image, audio, folder, encoder)
    facts = run_child({"do": "render", "film": film}, folder, bounds, progress)
    if facts["encoder"] != encoder:
        _log.warning("skip_slices_refused", encoder=facts["encoder"])
    if facts["missing_characters"]:
        _log.warning("characters_without_font", count=len(facts["missing_characters"]))
    seconds = facts["duration_seconds"]
    video = MediaFacts(
        width=data.width,
        height=data.height,
        duration_seconds=seconds,
        fps=_FPS,
        frames=facts["frames"],
        video_codec="h264",
        audio_codec="aac",
    )
    captions = MediaFacts(duration_seconds=seconds)
    return [
        Artifact(name="video.mp4", content_type="video/mp4", facts=video, path=folder / "video.mp4"),
        Artifact(
            name="captions.srt", content_type="application/x-subrip", facts=captions, path=folder / "captions.srt"
        ),
        Artifact(name="captions.vtt", content_type="text/vtt", facts=captions, path=folder / "captions.vtt"),
    ]


def _inputs(data: Reel, ctx: Context) -> tuple[InputFile, InputFile]:
    image = ctx.input("image", data.image, kinds=("jpeg", "png"), limit_bytes=_INPUT_LIMIT_BYTES)
    audio = ctx.input("audio", data.audio, kinds=("mp3", "wav", "flac"), limit_bytes=_INPUT_LIMIT_BYTES)
    return image, audio


def _film(data: Reel, image: InputFile, audio: InputFile, folder: Path, encoder: str = "skip") -> dict[str, Any]:
    """The task of the child: plain values and our own paths, nothing else of the request."""
    return {
        "image": str(image.path.resolve()),
        "image_kind": image.kind,
        "audio": str(audio.path.resolve()),
        "audio_kind": audio.kind,
        "folder": str(folder.resolve()),
        "lyrics": data.lyrics,
        "language": data.language,
        "font_size": data.font_size,
        "color": ImageColor.getrgb(data.font_color)[:3],
        "words_per_group": data.words_per_group,
        "timing_offset": data.timing_offset,
        "min_duration": data.min_duration,
        "debug": data.debug_mode,
        "width": data.width,
        "height": data.height,
        "encoder": encoder,
        "ffmpeg": _ffmpeg(),
    }


@functools.cache
def _ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _estimate(data: Reel, facts: dict[str, Any]) -> float:
    """Seconds on two cores, from measurements at 1080 x 1920: start, sound, pictures by their size."""
    size = data.width * data.height / (1080 * 1920)
    return float(round(0.6 + 0.011 * facts["duration_seconds"] + 0.011 * size * facts["pictures"], 1))
