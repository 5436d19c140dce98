"""The words of the captions and their times from the lines of a timing file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.media.captions.matching import Times
from pipelines.media.captions.word_groups import clean, words_of
from pipelines.media.text.tokens import GLUE, ZERO_WIDTH_SPACE
from schemas.timing_formats import Line, Piece

_NOT_COUNTED = frozenset(f" {ZERO_WIDTH_SPACE}{GLUE}")


@dataclass(frozen=True, slots=True)
class GivenWords:
    """Lyrics, and the times of each of their words; ``None`` for a word that the file has without a time."""

    lyrics: str
    times: tuple[Times | None, ...]
    #: Number of lines that are left out, wholly or in part, because they begin after the end of the audio.
    late: int


def given_words(lines: Sequence[Line], seconds: float) -> GivenWords:
    """Return the words of the lines that begin within ``seconds``.

    Times of parts of words are joined, and the words of a part with one time, such as a line, share it by letters.
    """
    texts: list[str] = []
    times: list[Times | None] = []
    late = 0
    for line in lines:
        text = clean("".join(piece.text for piece in line.pieces))
        shown = 0
        for word, time in zip(words_of(text), _times(line, text, seconds), strict=True):
            if time is not None and time.start >= seconds:
                late += 1
                break
            times.append(time)
            shown = text.index(word, shown) + len(word)
        if shown:
            texts.append(text[:shown])
    return GivenWords("\n".join(texts), tuple(times), late)


def _times(line: Line, text: str, seconds: float) -> Iterator[Times | None]:
    """Yield the times of each word of ``text``, which is the cleaned text of the pieces."""
    pieces = [(piece, _letters(clean(piece.text))) for piece in line.pieces]
    pieces = [(piece, letters) for piece, letters in pieces if letters]
    index, begin = 0, 0  # the piece that contains the current letter, and the number of letters before it
    letter = 0
    for word in words_of(text):
        while index < len(pieces) - 1 and letter >= begin + pieces[index][1]:
            begin += pieces[index][1]
            index += 1
        first, starts = pieces[index], letter == begin
        start = _at(*first, letter - begin, seconds)
        letter += _letters(word)
        while index < len(pieces) - 1 and letter > begin + pieces[index][1]:
            begin += pieces[index][1]
            index += 1
        end = _at(*pieces[index], letter - begin, seconds)
        heard = line.has_words and starts and first[0].heard
        yield None if start is None else Times(start, max(start, start if end is None else end), heard)


def _at(piece: Piece, letters: int, letter: int, seconds: float) -> float | None:
    """Return the time of a letter of the piece; letters after the last one count as its end."""
    if piece.start is None or piece.end is None:
        return None
    end = max(piece.start, min(piece.end, seconds))
    return piece.start + (end - piece.start) * min(1.0, letter / letters)


def _letters(text: str) -> int:
    return sum(character not in _NOT_COUNTED for character in text)
