"""Draw what a reel shows from its start to its end over the images: title, artist and watermark."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from PIL import Image

from pipelines.media.film import Film
from pipelines.media.inspect.picture import load_layer, open_picture, upright_size
from pipelines.media.layout import Box, CaptionArea, safe_box
from pipelines.media.scene.rows import ARTIST, MARK_HEIGHT, MARK_WIDTH, TITLE, Rows, rows_in
from pipelines.media.text.caption_renderer import CaptionRenderer
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Style
from schemas.caption_style import STYLES
from schemas.errors import InvalidImage

#: Left and top edge in the frame, and a picture in RGBA.
Label = tuple[int, int, Image.Image]
_WHITE = (255, 255, 255)


def rows_of(film: Film) -> Rows:
    """Return the places of what the film shows besides images and captions."""
    scene, side = film.scene, min(film.width, film.height)
    mark = None
    if scene.watermark is not None:
        with _watermark(film) as image:
            width, height = upright_size(image)
        scale = min(side * MARK_WIDTH / width, side * MARK_HEIGHT / height, 1.0)
        mark = scene.watermark.corner, max(1, int(width * scale)), max(1, int(height * scale))
    return rows_in(
        safe_box(film.width, film.height, film.safe_area),
        side,
        title=bool(scene.title),
        artist=bool(scene.artist),
        mark=mark,
        wave=scene.waveform,
        captions_at_top=film.position == "top",
    )


def labels_of(film: Film, missing: set[str]) -> list[Label]:
    """Return the labels of the film. Characters in them that no font has are added to ``missing``.

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
        with _watermark(film) as image:
            labels.append((rows.mark.left, rows.mark.top, load_layer(image, rows.mark.width, rows.mark.height)))
    return labels


def _line(film: Film, text: str, box: Box, size: float, weight: int, missing: set[str]) -> Label | None:
    language = film.caption_spec.language
    em = size * min(film.width, film.height)
    look = dataclasses.replace(STYLES["minimal"], weight=weight, outline=0.08)
    area = CaptionArea(film.width, film.height, box, "middle")
    renderer = CaptionRenderer(area, Style(em, _WHITE, 255, look), Fonts(language, text, weight), language)
    drawn = renderer.draw(text)
    missing |= renderer.shaper.missing
    return drawn


@contextlib.contextmanager
def _watermark(film: Film) -> Iterator[Image.Image]:
    mark = film.scene.watermark
    assert mark is not None
    try:
        yield open_picture(mark.path, mark.kind)
    except InvalidImage as error:
        error.field = "data.watermark"
        raise
