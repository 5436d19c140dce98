"""Where pictures and captions are in the frame, and whether captions can be read there: by pixels."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

from pipelines.media.inspect.picture import fit_picture, open_picture
from pipelines.media.layout import Box, Layout, arrange, covers, safe_box
from pipelines.media.text.caption_renderer import CaptionRenderer
from pipelines.media.text.fitting import height_of
from pipelines.media.text.fonts import Fonts
from pipelines.media.text.painting import Style, contrast
from schemas.caption_style import STYLES, StyleName

SIZES = {"9:16": (1080, 1920), "1:1": (1080, 1080), "4:5": (1080, 1350), "16:9": (1920, 1080), "small": (270, 480)}
PICTURES = {"square": (600, 600), "landscape": (1500, 1000), "portrait": (800, 1200), "phone": (900, 1600)}
TEXTS = {
    "Latin": "So carry me home",
    "long": "I was never afraid of the long way that leads from here to the end of the night, " * 2,
    "Devanagari": "मैं घर चला आया हूँ",
    "Arabic": "خذني إلى البيت",
    "Thai": "พาฉันกลับบ้านที่นี่",
    "Japanese": "家に連れて帰って",
    "emoji": "Bring me home 🎉",
    "word": "Donaudampfschifffahrtsgesellschaftskapitän" * 3,
}
#: What each app draws over a video of 1080 x 1920 pixels: left, top, right, bottom.
PLATFORMS = {
    "tiktok": [(0, 0, 1080, 130), (0, 1536, 1080, 1920), (960, 850, 1080, 1536)],
    "shorts": [(0, 0, 1080, 190), (0, 1440, 1080, 1920), (960, 900, 1080, 1440)],
    "instagram": [(0, 0, 1080, 269), (0, 1248, 1080, 1920), (0, 269, 65, 1248), (1015, 269, 1080, 1248)],
}


def layout_of(picture: str, size: str, style: StyleName, **options: Any) -> tuple[Layout, float]:
    """Return a layout with room for two lines, and the size of the letters in pixels."""
    width, height = SIZES[size]
    look = STYLES[style]
    em = look.font_size * min(width, height) / 1080
    return arrange(PICTURES[picture], width, height, caption_height=height_of(2, look.reach) * em, **options), em


def drawn(layout: Layout, em: float, style: StyleName, text: str) -> Box:
    """Return the part of the frame in which letters, outline and plate of a caption are."""
    look = STYLES[style]
    color = ImageColor.getrgb(look.font_color)[:3]
    caption = CaptionRenderer(layout.captions, Style(em, color, 255, look), Fonts(None, text, look.weight)).draw(text)
    assert caption is not None
    x, y, picture = caption
    solid = 150 if look.plate else 200
    rows, columns = np.nonzero(np.asarray(picture)[:, :, 3] > solid)
    return Box(x + int(columns.min()), y + int(rows.min()), x + int(columns.max()) + 1, y + int(rows.max()) + 1)


def inside(part: Box, whole: Box) -> bool:
    return (
        part.left >= whole.left and part.top >= whole.top and part.right <= whole.right and part.bottom <= whole.bottom
    )


def overlaps(one: Box, other: tuple[int, int, int, int]) -> bool:
    return one.left < other[2] and one.right > other[0] and one.top < other[3] and one.bottom > other[1]


@pytest.mark.parametrize("position", ["auto", "top", "middle", "bottom"])
@pytest.mark.parametrize("style", STYLES)
def test_no_caption_is_on_a_seam_or_outside_the_safe_area_H3_H4(style: StyleName, position: Any) -> None:
    for picture, size, fit, text in product(PICTURES, SIZES, ("auto", "contain"), ("Latin", "long", "word")):
        layout, em = layout_of(picture, size, style, position=position, fit=fit)
        box = drawn(layout, em, style, TEXTS[text])
        assert inside(box, safe_box(*SIZES[size], "all")), (picture, size, fit, text)
        if layout.card is not None:
            assert inside(box, layout.card) or not overlaps(box, layout.card), (picture, size, fit, text)
            assert inside(layout.card, Box(0, 0, *SIZES[size]))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("style", STYLES)
def test_no_platform_covers_a_caption_of_any_script_H4(style: StyleName, text: str) -> None:
    for picture in ("square", "phone"):
        layout, em = layout_of(picture, "9:16", style)
        box = drawn(layout, em, style, TEXTS[text])
        assert not [name for name, zones in PLATFORMS.items() for zone in zones if overlaps(box, zone)]
        assert layout.card is None or not overlaps(box, layout.card)


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_area_of_one_platform_is_larger_than_that_of_all(name: Any) -> None:
    one, every, free = (safe_box(1080, 1920, area) for area in (name, "all", "none"))
    assert inside(every, one)
    assert inside(one, free)
    assert not [zone for zone in PLATFORMS[name] if overlaps(one, zone)]


@pytest.mark.parametrize(
    ("picture", "fit", "covered"),
    [
        pytest.param((1080, 1920), "auto", True, id="same-shape"),
        pytest.param((1080, 1920), "contain", True, id="same-shape-contain"),
        pytest.param((1080, 1900), "contain", False, id="M6-slivers-contain"),
        pytest.param((1080, 1900), "auto", True, id="M6-slivers"),
        pytest.param((800, 1200), "auto", True, id="M6-2:3-loses-16%"),
        pytest.param((900, 1200), "auto", False, id="M6-3:4-loses-25%"),
        pytest.param((900, 1200), "cover", True, id="M6-3:4-cover"),
        pytest.param((800, 1200), "contain", False, id="M6-2:3-contain"),
        pytest.param((500, 1000), "auto", True, id="M6-narrower"),
        pytest.param((1, 30_000), "auto", False, id="line"),
        pytest.param((30_000, 1), "auto", False, id="row"),
    ],
)
def test_a_picture_covers_the_frame_while_little_is_cut_off_M6(
    picture: tuple[int, int], fit: Any, covered: bool
) -> None:
    assert covers(picture, 1080, 1920, fit) is covered
    card = arrange(picture, 1080, 1920, fit=fit, caption_height=200).card
    assert (card is None) is covered
    assert card is None or (card.width >= 1 and card.height >= 1 and inside(card, Box(0, 0, 1080, 1920)))


@pytest.mark.parametrize("picture", [(1, 30_000), (30_000, 1), (600, 600)])
@pytest.mark.parametrize("size", [(128, 128), (128, 3840), (3840, 128), (144, 256), (3840, 3840)])
def test_every_size_has_room_for_captions(picture: tuple[int, int], size: tuple[int, int]) -> None:
    for style, position in product(STYLES, ("auto", "top", "middle")):
        look = STYLES[style]
        em = look.font_size * min(size) / 1080
        layout = arrange(picture, *size, position=position, caption_height=height_of(2, look.reach) * em)  # type: ignore[arg-type]
        box = drawn(layout, em, style, TEXTS["Latin"])
        safe = safe_box(*size, "all")
        assert inside(box, safe), (style, position)
        if layout.card is not None:
            assert inside(box, layout.card) or not overlaps(box, layout.card), (style, position)


def test_a_cut_picture_is_not_stretched(tmp_path: Path) -> None:
    picture = Image.new("RGB", (900, 1200), "black")
    picture.paste("white", (400, 500, 500, 600))
    picture.save(tmp_path / "p.png")
    frame = np.asarray(fit_picture(open_picture(tmp_path / "p.png", "png"), 540, 960).convert("L")) > 128
    assert np.flatnonzero(frame.any(axis=0)).size == pytest.approx(80, abs=2)
    assert np.flatnonzero(frame.any(axis=1)).size == pytest.approx(80, abs=2)


def test_a_square_picture_is_a_card_with_rounded_corners_over_a_dithered_copy_H3(tmp_path: Path) -> None:
    ramp = np.linspace(40, 60, 400)[None, :, None] * np.ones((400, 1, 3))
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "p.png")
    card = arrange((400, 400), 540, 960, caption_height=80).card
    assert card is not None
    frames = [np.asarray(fit_picture(open_picture(tmp_path / "p.png", "png"), 540, 960, card)) for _ in range(2)]
    assert (frames[0] == frames[1]).all()
    frame = frames[0].astype(int)
    assert frame[card.top + 2, card.left + card.width // 2, 0] >= 40
    # The corner shows the darkened copy. It has no bands: its rows differ although those of the picture are equal.
    assert frame[card.top + 1, card.left + 1, 0] < 35
    sky = frame[-200:, :, 0]
    assert (np.diff(sky, axis=0) != 0).mean() > 0.2
    assert np.abs(np.diff(sky, axis=0)).max() <= 3


def _background(name: str, width: int, height: int) -> NDArray[np.uint8]:
    flat = {"light": (245, 245, 240), "dark": (12, 14, 20), "grey": (128, 128, 128), "yellow": (255, 230, 60)}
    if name in flat:
        return np.full((height, width, 3), flat[name], np.uint8)
    return (
        np.random.default_rng(5)
        .integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        .repeat(8, axis=0)
        .repeat(8, axis=1)[:height, :width]
    )


@pytest.mark.parametrize("color", ["white", "yellow", "#555", "gray", "#767676", "red", "black", "#1040ff"])
@pytest.mark.parametrize("style", STYLES)
def test_letters_are_legible_on_every_background_M5(style: StyleName, color: str) -> None:
    look, em = STYLES[style], 90.0
    rgb = ImageColor.getrgb(color)[:3]
    area = arrange((9, 16), 1080, 1920).captions
    caption = CaptionRenderer(area, Style(em, rgb, 255, look), Fonts(None, "", look.weight)).draw("Home")
    assert caption is not None
    _, _, picture = caption
    width, height = picture.size
    pixels = np.asarray(picture)
    letters = (pixels[:, :, 3] == 255) & (np.abs(pixels[:, :, :3].astype(int) - rgb).max(axis=2) < 6)
    ring = _grown(letters, 5) & ~_grown(letters, 2)
    assert letters.sum() > 1000
    for name in ("light", "dark", "grey", "yellow", "busy"):
        frame = Image.fromarray(_background(name, width, height))
        frame.paste(picture, mask=picture)
        around = np.asarray(frame)[ring]
        ratios = [contrast(rgb, (int(pixel[0]), int(pixel[1]), int(pixel[2]))) for pixel in around[::7]]
        # Large letters are legible from 3:1 (WCAG 2.2, success criterion 1.4.3).
        assert np.percentile(ratios, 10) >= 3, (name, np.percentile(ratios, 10))


def _grown(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask
