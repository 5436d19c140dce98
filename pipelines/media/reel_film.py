"""One reel, made from start to end inside the child process: measure, plan, draw, encode, write."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.codec.codec import UnknownCodecError

from pipelines.media.captions.files import CaptionSpec, captions_for, write_subtitles, write_words
from pipelines.media.captions.placement import Caption
from pipelines.media.captions.timing import Placed
from pipelines.media.encode.aac import frames_for, read_format, read_frames, start_aac
from pipelines.media.encode.chunk_encoder import ParallelEncoder
from pipelines.media.encode.frame_runs import GOP_SECONDS, chunks, plan_frame_runs, single_frames
from pipelines.media.encode.h264 import UnexpectedStream
from pipelines.media.encode.mp4 import write_mp4
from pipelines.media.encode.x264 import NVENC, X264, ChunkEncoder
from pipelines.media.inspect.picture import fit_picture, open_picture
from pipelines.media.inspect.sound import Sound, measure
from pipelines.media.text.canvas import Canvas
from pipelines.media.text.caption_renderer import CaptionRenderer, Style
from pipelines.media.text.fonts import Fonts
from schemas.errors import RenderFailed

Progress = Callable[[float], None]
FPS = 30
#: What to encode with where an encoder is not there or does not fit, and how that shows.
_NEXT = {"nvenc": "skip", "skip": "plain"}
_UNFIT: dict[str, tuple[type[Exception], ...]] = {
    "nvenc": (UnexpectedStream, av.FFmpegError, UnknownCodecError),
    "skip": (UnexpectedStream,),
    "plain": (),
}
#: Share of the work that is encoding; and how often progress is reported, in seconds, while the sound is encoded.
_ENCODING = 0.9
_REPORT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Film:
    """One film to render. ``folder`` takes results and temporary files; all paths are chosen by Telecine."""

    image: Path
    image_kind: str
    audio: Path
    audio_kind: str
    folder: Path
    wording: CaptionSpec
    font_size: float
    color: tuple[int, int, int]
    width: int
    height: int
    #: ``skip`` or ``plain``: whether held pictures are written as skip slices or encoded frame by frame;
    #: ``nvenc`` is ``skip`` with the pictures encoded by NVIDIA's encoder.
    encoder: str
    ffmpeg: str

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Film:
        paths = {name: Path(record[name]) for name in ("image", "audio", "folder")}
        wording = CaptionSpec.from_json(record["wording"])
        return cls(**{**record, **paths, "color": tuple(record["color"]), "wording": wording})


def plan_film(film: Film) -> dict[str, Any]:
    """Return what rendering ``film`` would make: sizes and counts, found by reading both inputs whole.

    Without lyrics the captions are not known yet, and none are counted.

    Raises:
        InputError: an input cannot be used.
        LyricsTooLong: a caption would be visible for less than one frame.
    """
    fit_picture(open_picture(film.image, film.image_kind), film.width, film.height)
    sound = measure(film.audio, film.audio_kind)
    captions: list[Caption] = []
    frames = _frames(sound)
    if film.wording.lyrics.strip():
        captions, _, frames = _captions(film, sound)
    pictures = len(plan_frame_runs(captions, frames, GOP_SECONDS * FPS))
    return {"frames": frames, "duration_seconds": sound.seconds, "captions": len(captions), "pictures": pictures}


def render_film(film: Film, progress: Progress) -> dict[str, Any]:
    """Write ``video.mp4``, ``captions.srt`` and ``captions.vtt`` into ``film.folder`` and return their facts.

    Raises:
        InputError: an input cannot be used.
        LyricsTooLong: a caption would be visible for less than one frame.
        RenderFailed: the sound could not be encoded.
    """
    # The header alone is read first: a picture that is too large should not cost a song.
    image = open_picture(film.image, film.image_kind)
    adts = film.folder / "audio.aac"
    speaker = start_aac(film.ffmpeg, film.audio, film.audio_kind, adts)
    try:
        sound = measure(film.audio, film.audio_kind)
        captions, words, frames = _captions(film, sound)
        photo = fit_picture(image, film.width, film.height)
        letterer = CaptionRenderer(
            film.width,
            film.height,
            Style(film.font_size * min(film.width, film.height) / 1080, film.color),
            Fonts(film.wording.language, film.wording.lyrics),
            film.wording.language,
        )
        canvas = Canvas(photo, letterer)
        encoder, written = film.encoder, None
        while written is None:
            try:
                written = _write(film, canvas, captions, frames, sound, speaker, encoder, progress)
            except _UNFIT[encoder]:
                encoder = _NEXT[encoder]
    finally:
        speaker.kill()
        speaker.wait()
    if written != frames:
        raise RenderFailed(f"{written:,} frames were written where {frames:,} were planned")
    write_subtitles(film.folder, captions, FPS)
    if film.wording.source != "even":
        write_words(film.folder, film.wording, words, sound.seconds)
    adts.unlink(missing_ok=True)
    return {
        "frames": frames,
        "duration_seconds": sound.seconds,
        "captions": len(captions),
        "encoder": encoder,
        "missing_characters": "".join(sorted(letterer.shaper.missing)),
    }


def _captions(film: Film, sound: Sound) -> tuple[list[Caption], list[Placed], int]:
    frames = _frames(sound)
    return *captions_for(film.wording, sound.seconds, FPS, frames), frames


def _frames(sound: Sound) -> int:
    return max(1, round(sound.seconds * FPS))


def _write(
    film: Film,
    canvas: Canvas,
    captions: Sequence[Caption],
    frames: int,
    sound: Sound,
    speaker: subprocess.Popen[bytes],
    encoder: str,
    progress: Progress,
) -> int:
    """Encode and write the video; return its number of frames."""
    holds = plan_frame_runs(captions, frames, GOP_SECONDS * FPS)
    if encoder == "plain":
        holds = single_frames(holds)
    size = (film.width, film.height, FPS)
    codec = NVENC if encoder == "nvenc" else X264
    pictures = ChunkEncoder(*size, skip=encoder != "plain", codec=codec)
    spool = ParallelEncoder(pictures, chunks(holds), canvas.draw, film.folder)
    try:
        # Encoding is nearly all of the work, so that its frames are what progress counts; writing is the rest.
        while speaker.poll() is None:
            progress(_ENCODING * spool.encoded / frames)
            with contextlib.suppress(subprocess.TimeoutExpired):
                speaker.wait(_REPORT_SECONDS)
        if speaker.returncode != 0:
            raise RenderFailed("the audio could not be encoded; check it in another player")
        form = read_format(film.folder / "audio.aac")
        sounded = frames_for(round(sound.samples * form.rate / sound.rate), frames / FPS, form.rate)
        return write_mp4(
            film.folder / "video.mp4",
            spool.units(),
            size=size,
            extradata=pictures.extradata,
            codec=codec,
            audio=read_frames(film.folder / "audio.aac", sounded),
            audio_format=form,
            written=lambda done: progress((_ENCODING * spool.encoded + (1 - _ENCODING) * done) / frames),
        )
    finally:
        spool.close()
