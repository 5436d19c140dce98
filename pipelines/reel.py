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
from pipelines.media.sandbox.process import DEFAULT_BOUNDS, Bounds, run_child
from pipelines.models.alignment import Timing, align, wording_of
from pipelines.models.estimates import alignment_estimate
from pipelines.models.remote_reel import rendered
from schemas.media import Artifact, InputFile, MediaFacts, Plan
from schemas.reel import Reel

_log = structlog.get_logger()

_INPUT_LIMIT_BYTES = 100 * 1024 * 1024
_FPS = 30.0


def reel(data: Reel, ctx: Context) -> Sequence[Artifact]:
    """``video.mp4``, ``captions.srt`` and ``captions.vtt``; ``words.json`` where words were heard.

    A crash before the render is stored repeats it: nothing outside the job's folder was touched.
    """
    image, audio = _inputs(data, ctx)
    timing = align(data.alignment_mode, data.lyrics, data.language, audio, ctx)

    def here() -> Sequence[Artifact]:
        made = ctx.step(
            "render",
            lambda folder, progress: render_reel(
                data, image, audio, folder, progress, timing=timing, bounds=ctx.bounds
            ),
        )
        ctx.annotate(**made[0].details)
        return made

    return rendered(data, image, audio, timing, ctx, here)


def plan(data: Reel, ctx: Context) -> Plan:
    """What ``reel`` would make of ``data``. Both inputs are fetched and read whole; nothing is rendered.

    Captions are counted as if the lyrics were spread evenly: nobody is asked when words are heard. Without
    lyrics they are not counted.
    """
    image, audio = _inputs(data, ctx)
    timing = Timing(data.lyrics)
    with tempfile.TemporaryDirectory() as folder:
        facts = run_child(
            {"do": "plan", "film": _film(data, image, audio, Path(folder), timing)}, Path(folder), ctx.bounds
        )
    asked = alignment_estimate(data.alignment_mode, data.lyrics, facts["duration_seconds"], ctx.catalogue)
    return Plan(
        frames=facts["frames"],
        duration_seconds=facts["duration_seconds"],
        fps=_FPS,
        width=data.width,
        height=data.height,
        estimated_seconds=_estimate(data, facts) + asked.seconds,
        cost=asked.cost,
        details={"captions": facts["captions"], "pictures": facts["pictures"]} if data.lyrics.strip() else {},
    )


def render_reel(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    folder: Path,
    progress: Progress = lambda _: None,
    *,
    timing: Timing | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
    encoder: str = "skip",
) -> list[Artifact]:
    """Render into ``folder``, in a child process within ``bounds``, and return the files made.

    ``timing`` says what the captions show and when; absent, the lyrics in even shares.

    ``encoder`` is ``skip``, which writes frames that repeat a picture as skip slices, ``nvenc``, which
    does so with NVIDIA's encoder, or ``plain``, which encodes every frame. ``nvenc`` turns to ``skip`` and
    that to ``plain`` by itself where the machine or the encoder's stream does not allow it, and says so in
    the log.

    Raises:
        InputError: an input cannot be used.
        LyricsTooLong: a caption would be seen for less than one frame.
        RenderError: the child failed, took too long or needed too much memory.
    """
    timing = timing or Timing(data.lyrics)
    film = _film(data, image, audio, folder, timing, encoder)
    facts = run_child({"do": "render", "film": film}, folder, bounds, progress)
    if facts["encoder"] != encoder:
        _log.warning("encoder_refused", wanted=encoder, encoder=facts["encoder"])
    missing = facts["missing_characters"]
    if missing:
        _log.warning("characters_without_font", count=len(missing))
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
    artifacts = [
        Artifact(
            name="video.mp4",
            content_type="video/mp4",
            facts=video,
            path=folder / "video.mp4",
            details={"missing_characters": missing} if missing else {},
        ),
        Artifact(
            name="captions.srt", content_type="application/x-subrip", facts=captions, path=folder / "captions.srt"
        ),
        Artifact(name="captions.vtt", content_type="text/vtt", facts=captions, path=folder / "captions.vtt"),
    ]
    if timing.source != "even":
        artifacts.append(Artifact(name="words.json", content_type="application/json", path=folder / "words.json"))
    return artifacts


def _inputs(data: Reel, ctx: Context) -> tuple[InputFile, InputFile]:
    image = ctx.input("image", data.image, kinds=("jpeg", "png"), limit_bytes=_INPUT_LIMIT_BYTES)
    audio = ctx.input("audio", data.audio, kinds=("mp3", "wav", "flac"), limit_bytes=_INPUT_LIMIT_BYTES)
    return image, audio


def _film(
    data: Reel, image: InputFile, audio: InputFile, folder: Path, timing: Timing, encoder: str = "skip"
) -> dict[str, Any]:
    """The task of the child: plain values and our own paths, nothing else of the request."""
    return {
        "image": str(image.path.resolve()),
        "image_kind": image.kind,
        "audio": str(audio.path.resolve()),
        "audio_kind": audio.kind,
        "folder": str(folder.resolve()),
        "wording": wording_of(data, timing, debug=data.debug_mode).as_json(),
        "font_size": data.font_size,
        "color": ImageColor.getrgb(data.font_color)[:3],
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
