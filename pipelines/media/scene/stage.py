"""What draws the frames of a reel, and the names of what it draws."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image

from pipelines.media.captions.placement import Caption
from pipelines.media.encode.frame_runs import expand, plan_frame_runs
from pipelines.media.film import Film, Timeline
from pipelines.media.inspect.picture import fit_picture
from pipelines.media.layout import Box, even
from pipelines.media.scene.arrangement import Cards
from pipelines.media.scene.images import Load, opened, stored
from pipelines.media.scene.labels import Label, rows_of
from pipelines.media.scene.moving import Fixed, MovingPicture, MovingStage, large_size
from pipelines.media.scene.recent import Recent
from pipelines.media.scene.spec import frame_name
from pipelines.media.scene.stills import StillStage
from pipelines.media.scene.waveform import BARS, Waveform, levels_of
from pipelines.media.text.canvas import Canvas
from pipelines.media.text.caption_renderer import CaptionRenderer

#: Draws the frames of a reel by their names.
Stage = Canvas | StillStage | MovingStage


def stage_of(film: Film, image: Image.Image, cards: Cards, fixed: Fixed, renderer: CaptionRenderer, fps: int) -> Stage:
    """Return what draws the frames of the reel. ``image`` is its first one; ``cards`` has an entry for each."""
    if film.scene.changes:
        prepared = [_prepared(film, index, card) for index, card in enumerate(cards)]
        if film.scene.moves:
            moving = Recent(lambda index: prepared[index].moving())
            return MovingStage((film.width, film.height), fps, film.scene, moving, fixed, renderer)
        return StillStage(
            film.scene, Recent(lambda index: Canvas(_labelled(prepared[index].fitted(), fixed.labels), renderer))
        )
    return Canvas(_labelled(fit_picture(image, film.width, film.height, cards[0]), fixed.labels), renderer)


def _labelled(picture: Image.Image, labels: Sequence[Label]) -> Image.Image:
    """Put the labels onto ``picture``, and return it."""
    for left, top, label in labels:
        picture.paste(label, (left, top), mask=label)
    return picture


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One image, fitted into the frame, in files: there may be many, and only a few are needed at a time."""

    fitted: Load
    #: The image at its largest; ``None`` if it does not move.
    large: Load | None
    card: Box | None

    def moving(self) -> MovingPicture:
        """Return the image as one that moves."""
        return MovingPicture(self.fitted(), self.large and self.large(), self.card)


def _prepared(film: Film, index: int, card: Box | None) -> _Prepared:
    with opened(film, index) as picture:
        card = even(card) if card and film.scene.moves else card
        fitted = stored(fit_picture(picture, film.width, film.height, card), film.folder)
        if not film.scene.kenburns:
            return _Prepared(fitted, None, card)
        large = fit_picture(picture, *large_size(film.width, film.height, card))
        return _Prepared(fitted, stored(large, film.folder), card)


def waveform_of(film: Film, frames: int, fps: int) -> Waveform | None:
    """Return the bars that move with the sound of the film; ``None`` if the frame has no room for them."""
    box = rows_of(film).wave
    assert box is not None
    if box.width < 4 * BARS or box.height < 8:
        return None
    levels = levels_of(film.audio, film.audio_kind, film.sound_edit.start, frames, fps)
    return Waveform(even(box), levels)


def pictures_of(film: Film, timeline: Timeline) -> list[Caption]:
    """Return what is shown, by names: the captions, over images that replace each other."""
    scene = film.scene
    if not scene.images:
        return timeline.shown
    cuts: list[int] = []
    for index in range(1, len(scene.images) + 1):
        first = scene.first_frame(index)
        cuts += range(first, first + scene.fade(index) + 1)
    pictures = []
    for run in plan_frame_runs(timeline.shown, timeline.frames, timeline.frames):
        end = run.first + run.length
        edges = [run.first, *cuts[bisect_right(cuts, run.first) : bisect_left(cuts, end)], end]
        pictures += [Caption(frame_name(first, run.text), first, last) for first, last in pairwise(edges)]
    return pictures


def moving_names(timeline: Timeline) -> Iterator[str]:
    """Yield the names of all frames, each of which is a picture of its own."""
    for run in expand(plan_frame_runs(timeline.shown, timeline.frames, timeline.frames)):
        yield frame_name(run.first, run.text)


def name_of(film: Film, frame: int, text: str) -> str:
    """Return the name of frame number ``frame`` with the caption ``text``."""
    return frame_name(frame, text) if film.scene.changes else text


def cover_of(film: Film, stage: Stage, timeline: Timeline, fps: int) -> Image.Image:
    """Return the picture of ``cover.jpg``: the first caption, or what is shown at ``film.cover_at``."""
    frame, text = (timeline.captions[0].first, timeline.captions[0].text) if timeline.captions else (0, "")
    if film.cover_at is not None:
        frame = min(round(film.cover_at * fps), timeline.frames - 1)
        text = timeline.shown_at(frame)
    return stage.picture(name_of(film, frame, text))


def save_cover(film: Film, cover: Image.Image) -> None:
    """Write ``cover.jpg`` into the film's folder."""
    cover.save(film.folder / "cover.jpg", "JPEG", quality=90)
