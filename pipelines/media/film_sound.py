"""The sound under a film: a file from outside, cut to the film's length and encoded to AAC.

``write_sound`` runs in the child process; ``read_sound`` reads its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.media.encode.aac import AacFormat, frames_for, read_format, read_frames, start_aac
from pipelines.media.encode.sound_edit import SoundEdit
from pipelines.media.inspect.sound import measure

#: Seconds over which sound that is longer than the film fades out at its end.
_FADE_SECONDS = 1.0


def write_sound(arguments: dict[str, Any]) -> dict[str, Any]:
    """Encode the sound at ``path``, of ``kind``, to ``target``: at most ``seconds`` of it. Return its length.

    Raises:
        InvalidAudio: It cannot be used.
        RenderFailed: It cannot be encoded.
        FfmpegDied: A signal ended ffmpeg.
    """
    path, kind, seconds = Path(arguments["path"]), arguments["kind"], arguments["seconds"]
    song = measure(path, kind)
    edit = SoundEdit(end=seconds, fade=_FADE_SECONDS) if song.seconds > seconds else SoundEdit()
    excerpt = edit.excerpt(song)
    process = start_aac(arguments["ffmpeg"], path, kind, Path(arguments["target"]), edit, excerpt.seconds)
    try:
        process.wait()
        process.check("the audio could not be encoded")
    finally:
        process.kill()
    return {"seconds": excerpt.seconds}


def read_sound(path: Path, sound_seconds: float, film_seconds: float) -> tuple[AacFormat, Iterator[bytes]]:
    """Return the format and the frames of a sound that ``write_sound`` wrote, for a film of that length."""
    audio_format = read_format(path)
    samples = round(sound_seconds * audio_format.rate)
    return audio_format, read_frames(path, frames_for(samples, film_seconds, audio_format.rate))
