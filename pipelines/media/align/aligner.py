"""Lyrics aligned with a recording on this machine: the interface, and the aligner that the extra ``align`` installs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.media.align import gate
from pipelines.media.align.acoustic import FRAME, AcousticModel, PhonemeModel, Tokens, emissions_of
from pipelines.media.align.long_texts import Part, align_parts, fit, margin_of, parts_of
from pipelines.media.align.onsets import onset_delay
from pipelines.media.align.recording import RATE, Sound, lowered, read_sound
from pipelines.media.align.separation import weights_folder
from pipelines.media.align.viterbi import Emissions, Path as TokenPath
from schemas.words import AlignedLyrics, LineTimes

Progress = Callable[[float], None]
#: A text that fits less than this is also looked for at a lower pitch: the networks learned from speech, and singers
#: sing higher than people speak.
_CLEAR, _LOWER = 1.0, 0.84
#: A line is not sure if it is more than this many seconds elsewhere at the lower pitch.
_MOST_APART = 1.0
#: Languages are compared by this many other orders, on this many frames of a longer recording: ten minutes.
_LANGUAGE_ORDERS, _SAMPLE = 4, 30_000
#: The share of the lines that must be sure for any to be used.
_ENOUGH = 0.5
#: Words of one line are not this far apart, in seconds: those on the smaller side of the gap are at a wrong place.
_WIDEST_GAP = 3.0
#: A word ends this long after its last sound was recognised, unless the next word starts earlier.
_TAIL = 0.12
_FRAME_SECONDS = FRAME / RATE
_UNREADABLE = "the words cannot be pronounced, or are too many for the audio"


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


class CtcAligner:
    """Aligns with what a CTC network recognises."""

    def __init__(self, model: AcousticModel, weights: Path | None = None) -> None:
        """Create an aligner; with the ``weights`` of the separation, the network is given the voice alone."""
        self._model, self._weights = model, weights

    def align(
        self, path: Path, kind: str, lines: Sequence[Sequence[str]], language: str | None, progress: Progress
    ) -> AlignedLyrics:
        """Return the times of the words (see ``LyricsAligner``)."""
        readings = self._model.readings(lines, language)
        if not readings:
            return AlignedLyrics(None, why=_UNREADABLE)
        with read_sound(path, kind) as mixed:
            levels = mixed.levels()
            found = AlignedLyrics(None, why=_UNREADABLE, separated=self._weights is not None)
            if self._weights is None:
                return self._aligned(mixed, levels, readings, found, progress)
        with read_sound(path, kind, self._weights) as voice:
            return self._aligned(voice, levels, readings, found, progress)

    def _aligned(
        self,
        sound: Sound,
        levels: NDArray[np.float32],
        readings: Sequence[tuple[str, Tokens]],
        found: AlignedLyrics,
        progress: Progress,
    ) -> AlignedLyrics:
        columns = sorted({token for _, tokens in readings for line in tokens for word in line for token in word})
        progress(0.2)
        emissions = emissions_of(self._model, sound, columns, lambda share: progress(0.2 + 0.4 * share))
        read = _read_best(emissions, [(voice, _as_columns(tokens, columns)) for voice, tokens in readings])
        if read is None:
            return found
        voice, tokens = read
        parts = parts_of(emissions, tokens)
        if not fit(parts):
            return found
        heard, margin = [emissions], margin_of(emissions, parts)
        if margin < _CLEAR:
            with lowered(sound, _LOWER) as low:
                other = emissions_of(self._model, low, columns, lambda share: progress(0.6 + 0.3 * share))
            heard, margin = _ranked(emissions, margin, other, parts)
        progress(0.9)
        found = replace(found, confidence=_confidence(margin), voice=voice, why=None)
        if margin < gate.FITS:
            why = f"the lyrics do not fit the audio (confidence {found.confidence:.2f}, at least {gate.FITS} is needed)"
            return replace(found, why=why)
        return _placed(heard, levels, parts, tokens, found)


def align_lyrics(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Align as the arguments say. Runs in the child process.

    Raises:
        InvalidAudio: The recording cannot be decoded.
        ModelNotInstalled, InvalidWeights: The folder of the model cannot be used.
    """
    aligner = _aligner(arguments["model"], weights_folder() if arguments["separate"] else None)
    path, kind = Path(arguments["audio"]), arguments["audio_kind"]
    return aligner.align(path, kind, arguments["lines"], arguments["language"], progress).as_json()


def _aligner(model: str | None, weights: Path | None) -> LyricsAligner:
    """Return the aligner for the model in the folder, or that of the extra ``align``."""
    if model is None:
        return CtcAligner(PhonemeModel(), weights)
    from pipelines.media.align.own_model import CharacterModel, WhisperAligner
    from providers.local.speech_model import is_whisper

    folder = Path(model)
    return WhisperAligner(folder, weights) if is_whisper(folder) else CtcAligner(CharacterModel(folder), weights)


def _as_columns(tokens: Tokens, columns: Sequence[int]) -> Tokens:
    place = {token: column for column, token in enumerate(columns)}
    return [[[place[token] for token in word] for word in line] for line in tokens]


def _read_best(emissions: Emissions, readings: Sequence[tuple[str, Tokens]]) -> tuple[str, Tokens] | None:
    """Return the reading that fits best."""
    usable = [reading for reading in readings if _alignable(emissions, reading[1])]
    if len(usable) < 2:
        return next(iter(usable), None)
    return max(usable, key=lambda reading: _sample_margin(emissions, reading[1]))


def _ranked(emissions: Emissions, margin: float, other: Emissions, parts: list[Part]) -> tuple[list[Emissions], float]:
    """Return both emissions, that which the text fits better first, and its margin."""
    if len(other) < parts[-1].first + len(gate.sequence(parts[-1].lines)):
        return [emissions], margin
    other_margin = margin_of(other, parts)
    return ([other, emissions], other_margin) if other_margin > margin else ([emissions, other], margin)


def _alignable(emissions: Emissions, tokens: Tokens) -> bool:
    return len(gate.sequence(tokens)) < len(emissions)


def _sample_margin(emissions: Emissions, tokens: Tokens) -> float:
    """Return the text's margin, of a long recording that of its beginning with an equal share of the lines."""
    frames = min(_SAMPLE, len(emissions))
    part = tokens[: max(1, len(tokens) * frames // len(emissions))]
    return (
        gate.text_margin(emissions.part(0, frames), part, _LANGUAGE_ORDERS)
        if len(gate.sequence(part)) <= frames
        else 0.0
    )


def _placed(
    heard: list[Emissions], levels: NDArray[np.float32], parts: list[Part], tokens: Tokens, found: AlignedLyrics
) -> AlignedLyrics:
    """Return the lyrics with times for the words of the lines that are sure: ``heard`` at every pitch."""
    flat = gate.sequence(tokens)
    paths, words = [align_parts(emissions, parts) for emissions in heard], _places(tokens)
    judged = [
        [gate.line_margin(emissions, path, flat, line[0][0], line[-1][1]) for line in words]
        for emissions, path in zip(heard, paths, strict=True)
    ]
    path, margins = paths[0], judged[0]
    sure = [
        all(good) and all(_agree(path, other, line) for other in paths[1:])
        for *good, line in zip(*map(gate.sure_lines, judged), words, strict=True)
    ]
    lines, first = [], 0
    for line, good, margin in zip(words, sure, margins, strict=True):
        confidence = _confidence(margin)
        lines.append(LineTimes(first, len(line), confidence, "aligned" if good else "spread"))
        first += len(line)
    if sum(sure) < _ENOUGH * len(sure):
        why = f"only {sum(sure)} of {len(sure)} lines fit the audio"
        return replace(found, why=why)
    starts = [path.first[line[0][0]] * _FRAME_SECONDS for line, good in zip(words, sure, strict=True) if good]
    spans = _spans(path, words, onset_delay(levels, starts))
    kept = [_without_strays(spans[line.first : line.first + line.count]) for line in lines]
    times = tuple(
        span if line.way == "aligned" and keep else None
        for line, keeps in zip(lines, kept, strict=True)
        for span, keep in zip(spans[line.first : line.first + line.count], keeps, strict=True)
    )
    return replace(found, times=times, lines=tuple(lines))


def _agree(path: TokenPath, other: TokenPath, line: list[tuple[int, int]]) -> bool:
    """Return whether the line is at about the same place in both paths."""
    places = [first for first, _ in line]
    apart = np.median(np.abs(path.first[places] - other.first[places])) * _FRAME_SECONDS
    return bool(apart <= _MOST_APART)


def _places(tokens: Tokens) -> list[list[tuple[int, int]]]:
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
