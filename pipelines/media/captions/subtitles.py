"""Captions as SubRip and WebVTT files, with the times of the frames on which they are visible."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.media.captions.placement import Caption


def write_srt(captions: Sequence[Caption], fps: int) -> str:
    """Return a SubRip file. The text is not escaped: SubRip has no escapes, and captions have no line breaks."""
    blocks = (
        f"{number}\n{_clock(caption.first, fps, ',')} --> {_clock(caption.end, fps, ',')}\n{caption.text}\n"
        for number, caption in enumerate(captions, 1)
    )
    return "\n".join(blocks)


def write_vtt(captions: Sequence[Caption], fps: int) -> str:
    """Return a WebVTT file. ``&``, ``<`` and ``>`` are escaped as in cue text, which also breaks up ``-->``."""
    blocks = (
        f"{_clock(caption.first, fps, '.')} --> {_clock(caption.end, fps, '.')}\n{_escape(caption.text)}\n"
        for caption in captions
    )
    return "\n".join(("WEBVTT\n", *blocks))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(frame: int, fps: int, point: str) -> str:
    """Return the time at which ``frame`` begins, rounded to milliseconds."""
    milliseconds = (frame * 2000 + fps) // (fps * 2)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"
