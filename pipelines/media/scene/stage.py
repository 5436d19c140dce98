"""What draws the frames of a reel, and the names of what it draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from pipelines.media.encode.frame_runs import expand, plan_frame_runs
from pipelines.media.inspect.picture import fit_picture
from pipelines.media.layout import Box, even
from pipelines.media.scene.moving import MovingPicture, MovingStage
from pipelines.media.scene.spec import frame_name
from pipelines.media.text.canvas import Canvas
from pipelines.media.text.caption_renderer import CaptionRenderer

if TYPE_CHECKING:
    from pipelines.media.reel_film import Film, Timeline

#: Draws the frames of a reel by their names.
Stage = Canvas | MovingStage


def stage_of(film: Film, image: Image.Image, card: Box | None, renderer: CaptionRenderer, fps: int) -> Stage:
    """Return what draws the frames of the reel, with ``image`` on the whole frame or on ``card``."""
    size = (film.width, film.height)
    if film.scene.moves:
        return MovingStage(size, fps, [MovingPicture(image, *size, card and even(card))], renderer)
    return Canvas(fit_picture(image, *size, card), renderer)


def moving_names(timeline: Timeline) -> Iterator[str]:
    """Yield the names of all frames, each of which is a picture of its own."""
    for run in expand(plan_frame_runs(timeline.shown, timeline.frames, timeline.frames)):
        yield frame_name(run.first, run.text)


def name_of(film: Film, frame: int, text: str) -> str:
    """Return the name of frame number ``frame`` with the caption ``text``."""
    return frame_name(frame, text) if film.scene.moves else text


def cover_of(film: Film, stage: Stage, timeline: Timeline, fps: int) -> Image.Image:
    """Return the picture of ``cover.jpg``: the first caption, or what is shown at ``film.cover_at``."""
    frame, text = (timeline.captions[0].first, timeline.captions[0].text) if timeline.captions else (0, "")
    if film.cover_at is not None:
        frame = min(round(film.cover_at * fps), timeline.frames - 1)
        text = next((caption.text for caption in timeline.captions if caption.first <= frame < caption.end), "")
    return stage.picture(name_of(film, frame, text))
