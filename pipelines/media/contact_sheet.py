"""Pictures of a reel without the reel: its cover, and its captions as a contact sheet. Runs in the child process."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw, ImageFont

from pipelines.media.film import FPS, Film, timeline_of
from pipelines.media.inspect.picture import open_picture
from pipelines.media.inspect.sound import estimate
from pipelines.media.reel_film import stage_for
from pipelines.media.scene.stage import cover_of, name_of, save_cover

FILE = "preview.png"
#: Most captions on a sheet: those of a long song are chosen at equal distances, with the first and the last one.
_MAX_TILES = 40
_COLUMNS = 8
#: Space around each picture and height of its time below it, in pixels; colours of the sheet and of the times.
_GAP, _LABEL = 8, 18
_SHEET_COLOR, _LABEL_COLOR = (24, 24, 24), (220, 220, 220)


def write_contact_sheet(film: Film) -> dict[str, Any]:
    """Write ``FILE`` into the film's folder; return the number of captions, and of those that the sheet shows.

    Raises:
        InputError: An input cannot be used.
        LyricsTooLong: A caption would be visible for less than one frame.
    """
    image = open_picture(film.image, film.image_kind)
    timeline = timeline_of(film, estimate(film.audio, film.audio_kind))
    captions = timeline.captions
    stage, _ = stage_for(film, image, timeline)
    last = len(captions) - 1
    count = min(len(captions), _MAX_TILES)
    shown = [captions[round(tile * last / max(1, count - 1))] for tile in range(count)]
    places = [(caption.first + caption.end) // 2 for caption in shown] or [0]
    names = [name_of(film, frame, timeline.shown_at(frame)) for frame in places]
    times = [caption.first / FPS for caption in shown] or [0.0]
    tiles = [(stage.picture(name), seconds) for name, seconds in zip(names, times, strict=True)]
    columns = min(_COLUMNS, len(tiles))
    across, down = film.width + _GAP, film.height + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, -(-len(tiles) // columns) * down + _GAP), _SHEET_COLOR)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, (tile, seconds) in enumerate(tiles):
        x, y = index % columns * across + _GAP, index // columns * down + _GAP
        sheet.paste(tile, (x, y))
        minutes, rest = divmod(seconds, 60)
        draw.text((x, y + film.height + 1), f"{minutes:.0f}:{rest:04.1f}", _LABEL_COLOR, font)
    sheet.save(film.folder / FILE, "PNG", compress_level=1)
    return {"captions": len(captions), "shown": len(shown)}


def write_cover(film: Film) -> dict[str, Any]:
    """Write ``cover.jpg`` into the film's folder, as ``render_film`` does.

    Raises:
        InputError: An input cannot be used.
        LyricsTooLong: A caption would be visible for less than one frame.
    """
    image = open_picture(film.image, film.image_kind)
    timeline = timeline_of(film)
    stage, _ = stage_for(film, image, timeline)
    save_cover(film, cover_of(film, stage, timeline, FPS))
    return {}
