"""Draw what a reel shows from its start to its end over the images: title, artist and watermark."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from PIL import Image

from pipelines.media.inspect.picture import load_layer, open_picture
from pipelines.media.layout import Box, CaptionArea, safe_box
from pipelines.media.scene.rows import ARTIST, TITLE, Rows, rows_in
from pipelines.media.text.caption_renderer import CaptionRenderer
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Style
from schemas.caption_style import STYLES
from schemas.errors import InvalidImage

if TYPE_CHECKING:
    from pipelines.media.reel_film import Film

#: Left and top edge in the frame, and a picture in RGBA.
Label = tuple[int, int, Image.Image]
_WHITE = (255, 255, 255)


def rows_of(film: Film) -> Rows:
    """Return the places of what the film shows besides images and captions."""
    scene = film.scene
    return rows_in(
        safe_box(film.width, film.height, film.safe_area),
        min(film.width, film.height),
        title=bool(scene.title),
        artist=bool(scene.artist),
        mark=scene.watermark.corner if scene.watermark else None,
        wave=False,
        captions_at_top=film.position == "top",
    )


def labels_of(film: Film, missing: set[str]) -> list[Label]:
    """Return the labels of the film. Characters of theirs that no font has are added to ``missing``.

    Raises:
        InvalidImage: The watermark cannot be read.
    """
    rows, scene = rows_of(film), film.scene
    labels = []
    for text, box, size, weight in (
        (scene.title, rows.title, TITLE, 800),
        (scene.artist, rows.artist, ARTIST, 500),
    ):
        drawn = None if box is None else _line(film, text, box, size, weight, missing)
        labels += [] if drawn is None else [drawn]
    if rows.mark is not None:
        labels.append(_watermark(film, rows.mark))
    return labels


def _line(film: Film, text: str, box: Box, size: float, weight: int, missing: set[str]) -> Label | None:
    language = film.caption_spec.language
    em = size * min(film.width, film.height)
    look = dataclasses.replace(STYLES["minimal"], weight=weight)
    area = CaptionArea(film.width, film.height, box, "middle")
    renderer = CaptionRenderer(area, Style(em, _WHITE, 255, look), Fonts(language, text, weight), language)
    drawn = renderer.draw(text)
    missing |= renderer.shaper.missing
    return drawn


def _watermark(film: Film, box: Box) -> Label:
    mark = film.scene.watermark
    assert mark is not None
    try:
        layer = load_layer(open_picture(mark.path, mark.kind), box.width, box.height)
    except InvalidImage as error:
        error.field = "data.watermark"
        raise
    left = box.left if mark.corner.endswith("left") else box.right - layer.width
    top = box.top if mark.corner.startswith("top") else box.bottom - layer.height
    return left, top, layer
