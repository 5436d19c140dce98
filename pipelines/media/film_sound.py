"""The sound of a film: a file from outside, cut to the film's length and encoded to AAC.

``write_sound`` runs in the child process; ``read_sound`` reads its result. A reel starts with ``start_song``, before
it imports what draws and encodes pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.media.encode.aac import AacEncoder, AacFormat, frames_for, read_format, read_frames, start_aac
from pipelines.media.encode.aac_copy import copy_aac
from pipelines.media.encode.sound_edit import UNCHANGED, SoundEdit
from pipelines.media.inspect.sound import Sound, measure

#: The file of a reel's encoded song, in its folder.
SONG_NAME = "audio.aac"
#: Seconds over which sound that is longer than the film fades out at its end.
_FADE_SECONDS = 1.0


def start_unchanged_song(arguments: dict[str, Any]) -> AacEncoder | None:
    """Start to encode the song of the reel in ``arguments``, if it is not changed: it can be measured meanwhile.

    Return ``None`` if it is changed, or was copied.

    Raises:
        InternalError: ffmpeg cannot be started.
    """
    if SoundEdit.from_json(arguments["sound_edit"]) != UNCHANGED:
        return None
    audio, folder = Path(arguments["audio"]), Path(arguments["folder"])
    return start_song(audio, arguments["audio_kind"], folder, arguments["ffmpeg"])


def start_song(
    audio: Path, kind: str, folder: Path, ffmpeg: str, edit: SoundEdit = UNCHANGED, song: Sound | None = None
) -> AacEncoder | None:
    """Start to encode the song of a reel; return ``None`` if it was copied: AAC that fits and is not changed.

    To be changed, it must have been measured: ``song`` is the whole one.
    """
    is_damaged = song is not None and song.is_damaged
    if edit == UNCHANGED and not is_damaged and copy_aac(audio, kind, folder / SONG_NAME):
        return None
    seconds = 0.0 if song is None else edit.excerpt(song).seconds
    return start_aac(ffmpeg, audio, kind, folder / SONG_NAME, edit, seconds)


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
