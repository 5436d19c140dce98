"""Captions in which the word that is sung looks different: one picture per word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.media.captions.placement import Caption
from pipelines.media.captions.word_groups import Group
from schemas.words import TimedWord


@dataclass(frozen=True, slots=True)
class WordPicture:
    """A caption while one of its words is sung."""

    text: str
    #: Start and end of each word in ``text``.
    words: tuple[tuple[int, int], ...]
    #: Index of the word that is sung.
    sung: int


def word_pictures(
    captions: Sequence[Caption], groups: Sequence[Group], timed: Sequence[TimedWord], fps: int, offset: float
) -> tuple[list[Caption], Mapping[str, WordPicture]]:
    """Cut each caption into one per word, and return them with the pictures that their texts name.

    A word is sung from its start to the start of the next one. A word that would be visible for less than a frame gets
    no picture of its own.
    """
    shown: list[Caption] = []
    pictures: dict[str, WordPicture] = {}
    for caption in captions:
        group = groups[caption.group]
        members = timed[group.first : group.first + group.count]
        spans = _spans(caption.text, len(caption.text) - len(group.text), members)
        starts = [caption.first, *(round((word.start + offset) * fps) for word in members[1:]), caption.end]
        for index in range(len(members)):
            first = min(max(starts[index], caption.first), caption.end)
            end = min(max(min(starts[index + 1 :]), first), caption.end)
            if first < end:
                # Captions contain no line breaks.
                name = f"{caption.text}\n{index}"
                pictures[name] = WordPicture(caption.text, spans, index)
                shown.append(Caption(name, first, end, caption.group))
    return shown, pictures


def _spans(text: str, begin: int, words: Sequence[TimedWord]) -> tuple[tuple[int, int], ...]:
    """Return where each of ``words`` is in ``text``, which has them in order from ``begin`` on."""
    spans = []
    for word in words:
        start = text.index(word.text, begin)
        begin = start + len(word.text)
        spans.append((start, begin))
    return tuple(spans)
