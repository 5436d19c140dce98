"""Lyrics aligned with a recording on this machine: the interface, and the aligner that the extra ``align`` installs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.media.align import gate
from pipelines.media.align.acoustic import FRAME, RATE, PhonemeModel, decode
from pipelines.media.align.languages import voices_for
from pipelines.media.align.onsets import onset_delay
from pipelines.media.align.phonemes import tokens_of
from pipelines.media.align.viterbi import Emissions, Path as TokenPath, align_tokens
from schemas.words import AlignedLyrics, LineTimes

Progress = Callable[[float], None]
#: Longer recordings would need more memory than a child process has.
_MOST_SECONDS = 90 * 60
#: The most frames times tokens, about three minutes of computing.
_MOST_CELLS = 15_000_000_000
#: Languages are compared by this many other orders, on this many frames of a longer recording: ten minutes.
_LANGUAGE_ORDERS, _SAMPLE = 4, 30_000
#: The share of the lines that must be sure for any to be used.
_ENOUGH = 0.5
#: Words of one line are not this far apart, in seconds: those on the smaller side of the gap are at a wrong place.
_WIDEST_GAP = 3.0
#: A word ends this long after its last sound was recognised, unless the next word starts earlier.
_TAIL = 0.12
_FRAME_SECONDS = FRAME / RATE

_Tokens = list[list[list[int]]]


class LyricsAligner(Protocol):
    """Finds when the words of lyrics are sung.

    ``tests/contract/test_local_aligners.py`` checks every implementation.
    """

    def align(
        self, path: Path, kind: str, lines: Sequence[Sequence[str]], language: str | None, progress: Progress
    ) -> AlignedLyrics:
        """Return the times of the words, in order. A line that is not sure has none.

        Args:
            path: The recording.
            kind: ``mp3``, ``wav`` or ``flac``.
            lines: The words of each line.
            language: A BCP 47 tag, or ``None`` if it is not known.
            progress: Called with shares from 0 to 1.

        Raises:
            InvalidAudio: The recording cannot be decoded.
        """
        ...


class PhonemeAligner:
    """espeak-ng's pronunciations, aligned with the phonemes that a small CTC network recognises."""

    def align(
        self, path: Path, kind: str, lines: Sequence[Sequence[str]], language: str | None, progress: Progress
    ) -> AlignedLyrics:
        """Return the times of the words (see ``LyricsAligner``)."""
        samples = decode(path, kind)
        if len(samples) > _MOST_SECONDS * RATE:
            return AlignedLyrics(None, why=f"the audio is longer than {_MOST_SECONDS // 60} minutes")
        model = PhonemeModel()
        emissions = model.emissions(samples, lambda share: progress(0.8 * share))
        read = _read_best(emissions, lines, language, model.inventory)
        if read is None:
            return AlignedLyrics(None, why="the words cannot be pronounced, or are too many for the audio")
        voice, tokens = read
        margin = gate.text_margin(emissions, tokens)
        confidence = _confidence(margin)
        progress(0.9)
        if margin < gate.FITS:
            why = f"the lyrics do not fit the audio (confidence {confidence:.2f}, at least {gate.FITS} is needed)"
            return AlignedLyrics(None, confidence=confidence, voice=voice, why=why)
        return _placed(emissions, samples, tokens, AlignedLyrics(None, confidence=confidence, voice=voice))


def align_lyrics(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Align as the arguments say. Runs in the child process.

    Raises:
        InvalidAudio: The recording cannot be decoded.
    """
    aligner: LyricsAligner = PhonemeAligner()
    path, kind = Path(arguments["audio"]), arguments["audio_kind"]
    return aligner.align(path, kind, arguments["lines"], arguments["language"], progress).as_json()


def _read_best(
    emissions: Emissions, lines: Sequence[Sequence[str]], language: str | None, inventory: dict[str, int]
) -> tuple[str, _Tokens] | None:
    """Return the voice that fits best of those that may read the text, and the tokens of the words.

    A language that the request names is used if espeak-ng has a voice for it.
    """
    voices = voices_for(" ".join(word for line in lines for word in line), language)
    readings = ((voice, _tokens(lines, voice, inventory)) for voice in voices)
    usable = ((voice, tokens) for voice, tokens in readings if tokens and _alignable(emissions, tokens))
    if language is not None or len(voices) == 1:
        return next(usable, None)
    return max(usable, key=lambda reading: _sample_margin(emissions, reading[1]), default=None)


def _tokens(lines: Sequence[Sequence[str]], voice: str, inventory: dict[str, int]) -> _Tokens | None:
    """Return the tokens by line and word; ``None`` if espeak-ng does not have the voice."""
    try:
        flat = iter(tokens_of([word for line in lines for word in line], voice, inventory))
    except ValueError:
        return None
    return [[next(flat) for _ in line] for line in lines]


def _alignable(emissions: Emissions, tokens: _Tokens) -> bool:
    words = [word for line in tokens for word in line]
    count = len(gate.sequence(tokens))
    return sum(map(bool, words)) * 2 > len(words) and count < len(emissions) and count * len(emissions) <= _MOST_CELLS


def _sample_margin(emissions: Emissions, tokens: _Tokens) -> float:
    """Return the text's margin, of a long recording that of its beginning with an equal share of the lines."""
    frames = min(_SAMPLE, len(emissions))
    part = tokens[: max(1, len(tokens) * frames // len(emissions))]
    return (
        gate.text_margin(emissions.part(0, frames), part, _LANGUAGE_ORDERS)
        if len(gate.sequence(part)) <= frames
        else 0.0
    )


def _placed(emissions: Emissions, samples: NDArray[np.float32], tokens: _Tokens, found: AlignedLyrics) -> AlignedLyrics:
    """Return the lyrics with times for the words of the lines that are sure."""
    flat = gate.sequence(tokens)
    path = align_tokens(emissions, flat)
    words = _places(tokens)
    margins = [gate.line_margin(emissions, path, flat, line[0][0], line[-1][1]) for line in words]
    sure = gate.sure_lines(margins)
    lines, first = [], 0
    for line, good, margin in zip(words, sure, margins, strict=True):
        confidence = _confidence(margin)
        lines.append(LineTimes(first, len(line), confidence, "aligned" if good else "spread"))
        first += len(line)
    if sum(sure) < _ENOUGH * len(sure):
        why = f"only {sum(sure)} of {len(sure)} lines fit the audio"
        return AlignedLyrics(None, (), found.confidence, found.voice, why)
    starts = [path.first[line[0][0]] * _FRAME_SECONDS for line, good in zip(words, sure, strict=True) if good]
    spans = _spans(path, words, onset_delay(samples, RATE, starts))
    kept = [_without_strays(spans[line.first : line.first + line.count]) for line in lines]
    times = tuple(
        span if line.way == "aligned" and keep else None
        for line, keeps in zip(lines, kept, strict=True)
        for span, keep in zip(spans[line.first : line.first + line.count], keeps, strict=True)
    )
    return AlignedLyrics(times, tuple(lines), found.confidence, found.voice)


def _places(tokens: _Tokens) -> list[list[tuple[int, int]]]:
    """Return for each word of each line which tokens of ``gate.sequence`` it has."""
    places, at = [], 1
    for line in tokens:
        here = []
        for word in line:
            here.append((at, at + max(1, len(word))))
            at = here[-1][1]
        places.append(here)
        at += 1
    return places


def _spans(path: TokenPath, words: list[list[tuple[int, int]]], delay: float) -> list[tuple[float, float]]:
    """Return start and end of every word in seconds."""
    flat = [word for line in words for word in line]
    starts = [max(0.0, float(path.first[first]) * _FRAME_SECONDS - delay) for first, _ in flat]
    ends = [float(path.last[end - 1] + 1) * _FRAME_SECONDS - delay + _TAIL for _, end in flat]
    following = [*starts[1:], float("inf")]
    return [
        (round(start, 3), round(max(start + 0.02, min(end, after)), 3))
        for start, end, after in zip(starts, ends, following, strict=True)
    ]


def _without_strays(spans: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which words of a line to keep: of the parts between wide gaps, the one with the most words."""
    parts: list[list[int]] = [[]]
    for index, span in enumerate(spans):
        if index and span[0] - spans[index - 1][0] > _WIDEST_GAP:
            parts.append([])
        parts[-1].append(index)
    largest = max(parts, key=lambda part: len(part))
    return [index in largest for index in range(len(spans))]


def _confidence(margin: float) -> float:
    return round(min(1.0, max(0.0, margin)), 2)
