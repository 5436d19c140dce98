"""What the captions of a reel show when: words that are sung, the next caption, countdowns, a progress line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.media.captions.placement import Caption
from pipelines.media.captions.word_groups import Group
from schemas.caption_style import CaptionStyle
from schemas.words import TimedWord

#: Dots of a countdown, one for each second before the caption; and the shortest break with a countdown, in seconds.
DOTS = 3
_BREAK_SECONDS = 5
#: The progress line moves once a second, in a long reel this often.
_STEPS = 200


@dataclass(frozen=True, slots=True)
class CaptionPicture:
    """What is drawn at one moment."""

    text: str = ""
    #: Start and end of each word in ``text``.
    words: tuple[tuple[int, int], ...] = ()
    #: Index of the word that is sung.
    sung: int | None = None
    #: The caption after this one, if it is shown too.
    following: str = ""
    #: Number of the dots of a countdown that are left, of ``DOTS``; 0 if there is no countdown.
    dots: int = 0
    #: The share of the reel that is over, if there is a progress line.
    progress: float | None = None

    @property
    def name(self) -> str:
        """A name that no other picture has. Captions contain no line breaks, so that no lyrics can be such a name."""
        if self == CaptionPicture(self.text):
            return self.text
        return f"{self.text}\n{self.sung}\n{self.following}\n{self.dots}\n{self.progress}"


@dataclass(frozen=True, slots=True)
class _Moment:
    """A picture and the frames on which it is visible, and the index of its caption among all groups."""

    first: int
    end: int
    picture: CaptionPicture
    group: int = 0


def caption_pictures(
    captions: Sequence[Caption],
    groups: Sequence[Group],
    timed: Sequence[TimedWord],
    style: CaptionStyle,
    *,
    fps: int,
    frames: int,
    offset: float,
) -> tuple[list[Caption], Mapping[str, CaptionPicture]]:
    """Return what ``style`` shows instead of ``captions`` in a video of ``frames`` frames.

    Their texts are those of the captions where nothing else is shown, otherwise names of the returned pictures.
    ``offset`` is the shift in seconds from the words' times to those of the video.
    """
    moments = [_Moment(one.first, one.end, CaptionPicture(one.text), one.group) for one in captions]
    if style.next_line:
        moments = _with_following(moments, captions)
    if style.highlight_color:
        moments = [part for one in moments for part in _words(one, groups[one.group], timed, fps, offset)]
    if style.countdown:
        moments = list(_with_countdowns(moments, fps))
    if style.progress_line:
        moments = list(_with_progress(moments, fps, frames))
    shown = [Caption(one.picture.name, one.first, one.end, one.group) for one in moments]
    return shown, {one.picture.name: one.picture for one in moments if one.picture.name != one.picture.text}


def _with_following(moments: Sequence[_Moment], captions: Sequence[Caption]) -> list[_Moment]:
    texts = [*(caption.text for caption in captions[1:]), ""]
    return [
        replace(one, picture=replace(one.picture, following=text)) for one, text in zip(moments, texts, strict=False)
    ]


def _words(caption: _Moment, group: Group, timed: Sequence[TimedWord], fps: int, offset: float) -> Iterator[_Moment]:
    """Cut a caption into one picture for each of its words.

    A word is sung from its start to the start of the next one. A word that would be visible for less than a frame gets
    no picture of its own.
    """
    text, members = caption.picture.text, timed[group.first : group.first + group.count]
    spans = _spans(text, len(text) - len(group.text), members)
    starts = [caption.first, *(round((word.start + offset) * fps) for word in members[1:]), caption.end]
    for index in range(len(members)):
        first = min(max(starts[index], caption.first), caption.end)
        end = min(max(min(starts[index + 1 :]), first), caption.end)
        if first < end:
            yield replace(caption, first=first, end=end, picture=replace(caption.picture, words=spans, sung=index))


def _spans(text: str, begin: int, words: Sequence[TimedWord]) -> tuple[tuple[int, int], ...]:
    """Return where each of ``words`` is in ``text``, which has them in order from ``begin`` on."""
    spans = []
    for word in words:
        start = text.index(word.text, begin)
        begin = start + len(word.text)
        spans.append((start, begin))
    return tuple(spans)


def _with_countdowns(moments: Sequence[_Moment], fps: int) -> Iterator[_Moment]:
    """Put a countdown before each caption that follows a long break."""
    last = 0
    for one in moments:
        if one.first - last >= _BREAK_SECONDS * fps:
            for left in range(DOTS, 0, -1):
                first = one.first - left * fps
                yield _Moment(first, first + fps, CaptionPicture(dots=left), one.group)
        yield one
        last = one.end


def _with_progress(moments: Sequence[_Moment], fps: int, frames: int) -> Iterator[_Moment]:
    """Add the progress line to every frame. It moves when the picture changes, and in between once a step."""
    step = max(fps, frames // _STEPS)
    last = 0
    for one in [*moments, _Moment(frames, frames, CaptionPicture())]:
        gap = _Moment(last, one.first, CaptionPicture(), one.group)
        for part in (gap, one):
            for first in range(part.first, part.end, step):
                picture = replace(part.picture, progress=round(first / frames, 4))
                yield replace(part, first=first, end=min(first + step, part.end), picture=picture)
        last = one.end
