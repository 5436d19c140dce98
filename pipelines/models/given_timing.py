"""The times of the words from the file that the request names: nothing is aligned, and no model is called."""

from __future__ import annotations

import math

from pipelines.context import Context
from pipelines.media.captions.given_times import given_words
from pipelines.media.inspect.in_child import seconds_of
from pipelines.media.inspect.sniff import TEXT
from pipelines.models.alignment import Timing
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import InvalidTiming
from schemas.lyrics import check_lyrics
from schemas.media import InputFile
from schemas.reel import Reel
from schemas.timing_file import MAX_TIMING_BYTES, read_timing
from schemas.timing_formats import FIELD


def given_timing(data: Reel | AudioToCaptions, audio: InputFile, ctx: Context) -> Timing | None:
    """Return the words and times of the request's ``timing``, or ``None`` if it names no file.

    What does not fit the audio is left out and reported in the manifest's ``details.alignment``.

    Raises:
        InvalidTiming: The file cannot be used, or all of its times are after the end of the audio.
        LyricsTooLong: It has too many words.
    """
    if data.timing is None:
        return None
    file = ctx.input("timing", data.timing, kinds=(TEXT,), limit_bytes=MAX_TIMING_BYTES)
    given = read_timing(file.path.read_bytes())
    words = given_words(given.lines, _seconds(audio, ctx))
    if not words.times:
        problem = "has no time before the end of the audio; see whether it belongs to this recording"
        raise InvalidTiming(f"the timing file {problem if words.late else 'contains no words'}", field=FIELD)
    check_lyrics(words.lyrics, required=False, field=FIELD)
    warnings = list(given.warnings)
    if words.late:
        warnings.append(f"lines of the timing file after the end of the audio, which are not shown: {words.late:,}")
    used = {"mode": data.alignment_mode, "used": "given"}
    ctx.annotate(alignment=used | ({"warnings": warnings} if warnings else {}))
    return Timing(words.lyrics, "given", words.times)


def _seconds(audio: InputFile, ctx: Context) -> float:
    """Return the length of the audio. It is not known, and not needed any more, if the file is gone after a call."""
    if audio.seconds is not None:
        return audio.seconds
    return seconds_of(audio, ctx.bounds) if audio.path.exists() else math.inf
