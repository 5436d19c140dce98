"""Read the further images of a reel."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from PIL import Image

from pipelines.media.film import Film
from pipelines.media.inspect.picture import fit_picture, open_picture, upright_size
from schemas.errors import InvalidImage

#: Returns a picture in RGB. To be called by one thread at a time.
Load = Callable[[], Image.Image]


@contextlib.contextmanager
def opened(film: Film, index: int) -> Iterator[Image.Image]:
    """Open the image with this index; 0 is the reel's own.

    Raises:
        InvalidImage: It cannot be read. The error names the field of this image.
    """
    try:
        if index == 0:
            yield open_picture(film.image, film.image_kind)
        else:
            further = film.scene.images[index - 1]
            yield open_picture(further.path, further.kind)
    except InvalidImage as error:
        error.field = f"data.images.{index - 1}.image" if index else error.field
        raise


def stored(picture: Image.Image, folder: Path) -> Load:
    """Write ``picture`` into an unnamed file in ``folder``; return the function that reads it."""
    file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is read until the process ends
    file.write(picture.tobytes())
    size = picture.size

    def load() -> Image.Image:
        file.seek(0)
        return Image.frombytes("RGB", size, file.read())

    return load


def further_sizes(film: Film) -> list[tuple[int, int]]:
    """Return the width and height of the further images when they are upright, from their headers."""
    sizes = []
    for index in range(1, len(film.scene.images) + 1):
        with opened(film, index) as image:
            sizes.append(upright_size(image))
    return sizes


def check_further_images(film: Film) -> None:
    """Decode the further images completely.

    Raises:
        InvalidImage: One of them cannot be read.
    """
    for index in range(1, len(film.scene.images) + 1):
        with opened(film, index) as image:
            fit_picture(image, film.width, film.height)
