"""Cut a song to an excerpt, fade its ends and bring it to a loudness, by filters of FFmpeg."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pipelines.media.encode.ffmpeg import Ffmpeg
from pipelines.media.inspect.sound import Sound
from schemas.errors import InvalidField

#: Samples are limited to this level in dB, at four times the sample rate: AAC raises some peaks by up to 1 dB.
_CEILING = -2.0
#: Sound below this loudness in LUFS counts as silent, ITU-R BS.1770-5.
_SILENCE = -70.0
#: Loudness in LU by which limited sound may be too quiet before its gain is raised, and how often it is raised.
_LU_TOLERATED = 0.3
_CORRECTIONS = 4
_LOUDNESS = re.compile(r"I:\s+(-?[\d.]+) LUFS")
_PEAK = re.compile(r"Peak:\s+(-?[\d.]+) dBFS")


@dataclass(frozen=True, slots=True)
class SoundEdit:
    """What a reel changes in its song. Times are in seconds from the start of the song."""

    start: float = 0.0
    #: ``None``: to the end of the song.
    end: float | None = None
    #: Seconds of the fades: into the excerpt, if it does not begin with the song, and out at its end.
    fade: float = 0.0
    #: Integrated loudness in LUFS. ``None``: as it is.
    loudness: float | None = None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SoundEdit:
        """Return the record whose fields are in ``record``."""
        return cls(**record)

    def excerpt(self, song: Sound) -> Sound:
        """Return the part of ``song`` that is used; an ``end`` behind the song is its end.

        Raises:
            InvalidField: The excerpt begins after the song has ended.
        """
        if self.start >= song.seconds:
            raise InvalidField(
                f"data.start is {self.start:g} s, but the song ends after {song.seconds:.1f} s", field="data.start"
            )
        first = round(self.start * song.rate)
        last = song.samples if self.end is None else min(song.samples, round(self.end * song.rate))
        return replace(song, samples=max(1, last - first))

    def cut_filters(self, seconds: float) -> list[str]:
        """Return the filters that cut and fade an excerpt of ``seconds``."""
        filters = []
        if self.start or self.end is not None:
            # Times are counted in samples, as the song is measured, and not read from the file.
            filters.append(f"asetpts=N/SR/TB,atrim=start={self.start:.6f}:duration={seconds:.6f},asetpts=PTS-STARTPTS")
        fade = min(self.fade, seconds / 2)
        if fade and self.start:
            filters.append(f"afade=t=in:d={fade:.6f}")
        if fade:
            filters.append(f"afade=t=out:st={seconds - fade:.6f}:d={fade:.6f}")
        return filters


#: The whole song, as it is.
UNCHANGED = SoundEdit()


def loudness_filters(target: float, measure: Callable[[list[str]], tuple[float, float]]) -> list[str]:
    """Return the filters that bring a sound to ``target`` LUFS, without peaks above -1 dBTP in the encoded sound.

    The gain is constant. Only what would exceed the limit is turned down; that costs loudness, so the result is
    measured again. Silence stays silent.

    Args:
        target: Integrated loudness in LUFS.
        measure: Returns the loudness in LUFS and the true peak in dB behind additional filters.
    """
    loudness, peak = measure([])
    if loudness <= _SILENCE:
        return []
    gain = target - loudness
    if peak + gain <= _CEILING:
        return [f"volume={gain:.2f}dB"]
    for _ in range(_CORRECTIONS):
        missing = target - measure(_limited(gain))[0]
        if missing <= _LU_TOLERATED:
            break
        gain += missing
    return _limited(gain)


def _limited(gain: float) -> list[str]:
    limiter = f"alimiter=limit={10 ** (_CEILING / 20):.4f}:level=false:latency=true"
    return [f"volume={gain:.2f}dB", "aresample=192000", f"aformat=sample_fmts=dblp,{limiter}"]


def measure_loudness(command: list[str]) -> tuple[float, float]:
    """Return the loudness in LUFS and the true peak in dB that ffmpeg's ``ebur128`` prints.

    Raises:
        RenderFailed: ffmpeg cannot decode the sound.
    """
    process = Ffmpeg(command)
    process.wait()
    process.check("the loudness could not be measured")
    loudness, peak = _LOUDNESS.findall(process.messages), _PEAK.findall(process.messages)
    return (float(loudness[-1]) if loudness else _SILENCE, float(peak[-1]) if peak else 0.0)
