"""The reel, rendered on this machine in a child process."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import structlog
from PIL import ImageColor

from pipelines.context import Progress
from pipelines.media.sandbox.process import DEFAULT_BOUNDS, Bounds, Task, run_child
from pipelines.models.alignment import Timing, caption_spec
from pipelines.models.reel_scene import NOTHING_FURTHER, scene_record
from schemas.media import InputFile, LocalFile, MediaFacts
from schemas.reel import Reel

_log = structlog.get_logger()

FPS = 30.0


def render_reel(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    folder: Path,
    progress: Progress = lambda _: None,
    *,
    timing: Timing | None = None,
    further: Mapping[str, InputFile] = NOTHING_FURTHER,
    bounds: Bounds = DEFAULT_BOUNDS,
    encoder: str = "strips",
) -> list[LocalFile]:
    """Render the reel into ``folder``, in a child process within ``bounds``, and return its files.

    Args:
        timing: The words of the captions and their times. Default: the lyrics in even shares.
        further: The other inputs, by their names in the request, as ``fetch_further`` returns them.
        encoder: ``strips`` encodes the rows of an image that its caption changes, and writes frames that repeat an
            image as skip slices. ``skip`` encodes whole images, ``nvenc`` does the same with NVIDIA's encoder, and
            ``plain`` encodes every frame. If the machine or the encoder's stream does not allow it, ``nvenc`` falls
            back to ``strips``, that to ``skip`` and that to ``plain``, with a warning in the log.

    Raises:
        InputError: An input cannot be used.
        LyricsTooLong: A caption would be visible for less than one frame.
        RenderError: The child process failed, took too long or needed too much memory.
    """
    timing = timing or Timing(data.lyrics)
    film = film_task(data, image, audio, folder, timing, further=further, encoder=encoder)
    facts = run_child(Task.RENDER, film, folder, bounds, progress)
    if facts["encoder"] != encoder:
        _log.warning("encoder_unavailable", requested=encoder, encoder=facts["encoder"])
    if facts["missing_characters"]:
        _log.warning("characters_without_font", count=len(facts["missing_characters"]))
    return _files(data, timing, facts, folder)


def _files(data: Reel, timing: Timing, facts: dict[str, Any], folder: Path) -> list[LocalFile]:
    seconds = facts["duration_seconds"]
    details = {name: facts[name] for name in ("missing_characters", "warnings") if facts[name]}
    video = MediaFacts(
        width=data.width,
        height=data.height,
        duration_seconds=seconds,
        fps=FPS,
        frames=facts["frames"],
        video_codec="h264",
        audio_codec="aac",
    )
    captions = MediaFacts(duration_seconds=seconds)
    files = [
        LocalFile(
            name="video.mp4",
            content_type="video/mp4",
            facts=video,
            path=folder / "video.mp4",
            details=details,
        ),
        LocalFile(
            name="captions.srt", content_type="application/x-subrip", facts=captions, path=folder / "captions.srt"
        ),
        LocalFile(name="captions.vtt", content_type="text/vtt", facts=captions, path=folder / "captions.vtt"),
        *line_files(folder, captions),
    ]
    if timing.source != "even":
        files.append(LocalFile(name="words.json", content_type="application/json", path=folder / "words.json"))
    return [*files, _cover_file(data, folder)]


def render_cover(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    folder: Path,
    timing: Timing,
    further: Mapping[str, InputFile],
    bounds: Bounds,
) -> LocalFile:
    """Draw ``cover.jpg`` into ``folder``, in a child process within ``bounds``.

    Raises:
        InputError: An input cannot be used.
        RenderError: The child process failed, took too long or needed too much memory.
    """
    run_child(Task.COVER, film_task(data, image, audio, folder, timing, further=further), folder, bounds)
    return _cover_file(data, folder)


def _cover_file(data: Reel, folder: Path) -> LocalFile:
    facts = MediaFacts(width=data.width, height=data.height)
    return LocalFile(name="cover.jpg", content_type="image/jpeg", facts=facts, path=folder / "cover.jpg")


def line_files(folder: Path, facts: MediaFacts) -> list[LocalFile]:
    """Return ``captions.lrc`` and ``captions.ass``, which were written into ``folder``."""
    types = {"captions.lrc": "application/x-lrc", "captions.ass": "text/x-ssa"}
    return [LocalFile(name=name, content_type=kind, facts=facts, path=folder / name) for name, kind in types.items()]


def film_task(
    data: Reel,
    image: InputFile,
    audio: InputFile,
    folder: Path,
    timing: Timing,
    *,
    further: Mapping[str, InputFile] = NOTHING_FURTHER,
    encoder: str = "strips",
) -> dict[str, Any]:
    """Return the arguments of the child process's task: plain values, and paths that Telecine chose."""
    return {
        "image": str(image.path.resolve()),
        "image_kind": image.kind,
        "audio": str(audio.path.resolve()),
        "audio_kind": audio.kind,
        "folder": str(folder.resolve()),
        "caption_spec": caption_spec(data, timing, debug=data.debug_mode).as_json(),
        "style": dataclasses.asdict(data.caption_style()),
        "color": ImageColor.getcolor(data.font_color, "RGBA"),
        "fit": data.fit,
        "position": data.position,
        "safe_area": data.safe_area,
        "width": data.width,
        "height": data.height,
        "encoder": encoder,
        "sound_edit": {"start": data.start, "end": data.end, "fade": data.fade, "loudness": data.loudness},
        "scene": scene_record(data, further, round(FPS)),
        "cover_at": data.cover_at,
        "ffmpeg": _ffmpeg(),
    }


@functools.cache
def _ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())
