"""What a style draws besides letters: the plate of a word, emphasis, the next caption, countdowns, a progress line."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.media.captions.matching import Times
from pipelines.media.captions.pictures import CaptionPicture
from pipelines.media.captions.word_groups import words_of
from pipelines.media.film import FPS, Film, timeline_of
from pipelines.media.inspect.picture import fit_picture, open_picture
from pipelines.media.inspect.sound import Sound
from pipelines.media.layout import Box, safe_box
from pipelines.media.reel_film import caption_renderer
from pipelines.media.text.canvas import Canvas
from pipelines.media.text.emphasis import find_phrases
from pipelines.media.text.painting import contrast
from pipelines.models.alignment import Timing
from pipelines.models.local_reel import film_task
from schemas.caption_style import STYLES, StyleName
from schemas.media import InputFile
from schemas.reel import Reel
from tests.unit.test_media_layout import PLATFORMS, inside, overlaps

PHOTOGRAPHS = sorted((Path(__file__).parents[2] / "docs" / "images" / "photographs").glob("*.jpg"))
LINES = "So carry me home\nand never let me go again"
Pixels = NDArray[np.int64]


class Look:
    """A reel whose words are sung for a second each, after ``start`` seconds, drawn without encoding it."""

    def __init__(
        self, lyrics: str = LINES, *, start: float = 0, photograph: Path = PHOTOGRAPHS[0], **options: Any
    ) -> None:
        words = words_of(lyrics)
        given = {"image": "s3://bucket/a.jpg", "audio": "s3://bucket/a.wav", "lyrics": lyrics, "words_per_group": 8}
        data = Reel.model_validate({**given, "alignment_mode": "even", **options})
        file = InputFile(name="a", uri="s3://bucket/a", path=photograph, kind="jpeg", bytes=1, sha256="")
        times = tuple(Times(start + index, start + index + 0.9) for index in range(len(words)))
        timing = Timing(lyrics, "forced_alignment", times)
        self.film = Film.from_json(film_task(data, file, file, photograph.parent, timing))
        self.timeline = timeline_of(self.film, Sound(round((start + len(words)) * 1000), 1000, "pcm"))
        self.photograph = photograph
        with Image.open(photograph) as image:
            self.renderer, (self.card,) = caption_renderer(self.film, [image.size], self.timeline)

    def name_at(self, seconds: float) -> str:
        return next((one.text for one in self.timeline.shown if one.first <= seconds * FPS < one.end), "")

    def draw(self, seconds: float) -> tuple[Box, Pixels]:
        """Return the place in the frame and the RGBA pixels of what is shown then."""
        drawn = self.renderer.draw(self.name_at(seconds))
        assert drawn is not None
        left, top, picture = drawn
        return Box(left, top, left + picture.width, top + picture.height), np.asarray(picture).astype(int)

    def frame(self, seconds: float) -> Pixels:
        """Return the whole frame."""
        return np.asarray(self._canvas.picture(self.name_at(seconds))).astype(int)

    @functools.cached_property
    def _canvas(self) -> Canvas:
        image = open_picture(self.photograph, "jpeg")
        return Canvas(fit_picture(image, self.film.width, self.film.height, self.card), self.renderer)


def where(pixels: Pixels, color: tuple[int, int, int], alpha: int = 255) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.abs(pixels[:, :, :3] - color).max(axis=2) < 8) & (pixels[:, :, 3] >= alpha)
    return found


# --- the plate of the word that is sung -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lyrics",
    [
        "So carry me home",
        "मैं घर चला आया",
        "خذني إلى البيت",
        "קח אותי הביתה",
        "พาฉันกลับบ้าน",
        "家に連れて帰って「君と」",
        "Straße nach Haus",
    ],
)
@pytest.mark.parametrize("upper_case", [False, True])
def test_box_has_a_plate_behind_the_word_that_is_sung_and_only_there(lyrics: str, upper_case: bool) -> None:
    look = Look(lyrics, style="box", upper_case=upper_case, font_size=56)
    places, letters = [], []
    for second in range(len(words_of(lyrics))):
        _, pixels = look.draw(second + 0.5)
        plate, black, white = (where(pixels, color) for color in ((255, 224, 0), (0, 0, 0), (255, 255, 255)))
        rows, columns = np.nonzero(plate)
        area = np.zeros(plate.shape, bool)
        area[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        assert black[area].sum() > 200, "the word on the plate is black"
        assert black[~area].mean() < 0.01
        letters.append(white)
        if " " in lyrics:
            ink = np.nonzero((black & area).any(axis=0))[0]
            assert min(ink.min() - columns.min(), columns.max() - ink.max()) >= 6, "the plate has room around the word"
        places.append(float(columns.mean()))
    # Every letter is white but while its word is sung: the plate covers no part of another word.
    often = np.sum(letters, axis=0)
    assert (often[often > 0] >= len(letters) - 1).mean() > 0.995
    # The plate moves from word to word, in the direction of the script.
    assert places == sorted(places, reverse=lyrics[0] in "خק")
    assert len(set(map(round, places))) == len(places)


def test_the_plate_has_the_highlight_colour_and_letters_that_contrast_with_it() -> None:
    for color, rgb, letters in (("#1040ff", (16, 64, 255), (255, 255, 255)), ("white", (255, 255, 255), (0, 0, 0))):
        _, pixels = Look(style="box", highlight_color=color, font_color="#fffffe").draw(1.5)
        plate = where(pixels, rgb)
        columns = np.nonzero(plate.sum(axis=0) > 20)[0]
        assert where(pixels, letters)[:, columns.min() : columns.max()].sum() > 200


@pytest.mark.parametrize("style", ["classic", "bold", "minimal"])
def test_a_highlight_colour_lights_words_in_every_style(style: StyleName) -> None:
    red = (255, 0, 0)
    assert len(Look(style=style).timeline.shown) == 2
    lit = Look(style=style, highlight_color="#ff0000")
    middles = [np.nonzero(where(lit.draw(second + 0.5)[1], red))[1].mean() for second in (0, 1)]
    assert middles[0] < middles[1]


def test_each_font_has_letters_of_its_own_and_other_scripts_are_drawn_in_sans() -> None:
    latin, hindi = (
        [
            Look(text, style="minimal", font=font).draw(0.5)[1].tobytes()
            for font in ("sans", "serif", "rounded", "condensed")
        ]
        for text in ("home", "घर")
    )
    assert len(set(latin)) == 4
    assert len(set(hindi)) == 1


# --- emphasis -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "phrases", "found"),
    [
        ("So carry me home", ["CARRY me", "home"], ["carry me", "home"]),
        ("homes are home", ["home"], ["home"]),
        ("don’t let go", ["don't"], ["don’t"]),
        ("(I’m) home!", ["home", "(i'm)"], ["(I’m)", "home"]),
        ("मैं घर चला", ["घर", "म"], ["घर"]),
        ("خذني إلى البيت", ["البيت"], ["البيت"]),
        ("家に連れて帰って", ["連れて"], ["連れて"]),
        ("a.c abc", ["a.c"], ["a.c"]),
        ("So carry me home", ["", "\u202e", ".*", "[a-z]+", "{\\b1}"], []),
    ],
)
def test_emphasis_is_whole_words_in_any_case(text: str, phrases: list[str], found: list[str]) -> None:
    assert [text[start:end] for start, end in find_phrases(text, phrases)] == found


@pytest.mark.parametrize("style", STYLES)
def test_words_with_emphasis_have_their_colour_and_missing_ones_are_a_warning(style: StyleName) -> None:
    plain, look = Look(style=style), Look(style=style, emphasis=["home", "absent"], emphasis_color="#00ff00")
    green = where(look.draw(0.5)[1], (0, 255, 0) if not STYLES[style].coming < 1 else (0, 178, 0))
    assert green.sum() > 200
    before, after = plain.draw(0.5), look.draw(0.5)
    assert before[0] == after[0]
    changed = np.abs(before[1] - after[1]).max(axis=2) > 0
    # Only the last word: the words before it end left of it, or above.
    rows, columns = np.nonzero(changed)
    assert columns.min() > changed.shape[1] * 0.4 or rows.min() > changed.shape[0] * 0.4
    assert changed.mean() < 0.25
    assert look.timeline.warnings == ["emphasis: in no caption: absent"]


# --- the next caption, the countdown and the progress line -----------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_the_next_caption_is_below_dimmed_and_the_last_one_stays_in_its_place(style: StyleName) -> None:
    look = Look("home again\nhome again", style=style, next_line=True)
    (above, both), (alone, last) = look.draw(0.5), look.draw(2.5)
    # The caption that is sung has the same place and pixels with the next one below it and without one.
    assert (above.top, above.left, above.right) == (alone.top, alone.left, alone.right)
    first, end = _letter_rows(last)
    assert (both[:end] == last[:end]).all()
    below = both[end:]
    start, stop = _letter_rows(below)
    assert start > 5
    # The word that is sung is larger with pop, and has a plate with box.
    assert 0.5 < (stop - start) / (end - first) < 0.8
    assert below[start:, :, 3].max() < 180


def _letter_rows(pixels: Pixels) -> tuple[int, int]:
    rows = np.nonzero(((pixels[:, :, :3].max(axis=2) > 150) & (pixels[:, :, 3] > 100)).any(axis=1))[0]
    return int(rows.min()), int(rows.max()) + 1


def test_dots_count_down_to_a_caption_after_a_long_break_only() -> None:
    look = Look(start=6, style="karaoke")
    counts, over = [], []
    for seconds in (2.9, 3.1, 4.1, 5.1, 5.9):
        name = look.name_at(seconds)
        counts.append(_blobs(look.draw(seconds)[1], (255, 224, 0)) if name else 0)
        over.append(_blobs(look.draw(seconds)[1], (102, 102, 102)) if name else 0)
    assert (counts, over) == ([0, 3, 2, 1, 1], [0, 0, 1, 2, 2])
    assert look.renderer.draw(look.name_at(5.9))[0:2] != (0, 0)  # type: ignore[index]
    assert not Look(start=4.9, style="karaoke").name_at(4.5)
    assert not Look(start=6, style="karaoke", countdown=False).name_at(5.5)
    assert Look(start=6, style="minimal", countdown=True).name_at(5.5)
    assert not Look(start=6, style="minimal").name_at(5.5)


def _blobs(pixels: Pixels, color: tuple[int, int, int]) -> int:
    columns = where(pixels, color).any(axis=0).astype(int)
    return int((np.diff(np.concatenate(([0], columns))) == 1).sum())


@pytest.mark.parametrize("start", [0, 7])
def test_the_progress_line_grows_on_every_frame_of_the_reel_until_its_end(start: float) -> None:
    look = Look(start=start, style="minimal", font_color="#ff0000", progress_line=True)
    last, shown = 0, look.timeline.shown
    assert (shown[0].first, shown[-1].end) == (0, look.timeline.frames)
    widths = []
    for one in shown:
        assert one.end - one.first <= FPS
        assert one.first == last
        last = one.end
        box, pixels = look.draw((one.first + 0.5) / FPS)
        line = where(pixels, (255, 0, 0))[box.height - 9]
        widths.append(int(line.sum()))
    assert widths == sorted(widths)
    assert widths[0] < 10
    full = safe_box(1080, 1920, "all").width
    assert widths[-1] == pytest.approx(full * shown[-1].first / look.timeline.frames, rel=0.05)


def test_a_long_reel_has_a_progress_line_of_few_pictures() -> None:
    words = "la " * 40
    look = Look(words, start=3600, style="classic", progress_line=True)
    assert len(look.timeline.shown) < 300


# --- where all of it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["auto", "top", "middle", "bottom"])
@pytest.mark.parametrize("style", STYLES)
def test_what_a_style_adds_is_on_no_seam_and_under_no_platform_s_buttons(style: StyleName, position: str) -> None:
    options = {"style": style, "position": position, "next_line": True, "progress_line": True, "countdown": True}
    long = "I was never afraid of the long way\nthat leads from here to the end of the night"
    for photograph in (PHOTOGRAPHS[3], PHOTOGRAPHS[-1]):  # portrait and square
        for width, height in ((1080, 1920), (1920, 1080)):
            look = Look(long, start=6, photograph=photograph, width=width, height=height, font_color="red", **options)
            for seconds in (0, 5.5, 6.5):
                box, pixels = look.draw(seconds)
                # Everything but the soft part of a shadow.
                rows, columns = np.nonzero((pixels[:, :, 3] > 120) & (pixels[:, :, 0] > 150))
                solid = Box(
                    box.left + columns.min(),
                    box.top + rows.min(),
                    box.left + columns.max() + 1,
                    box.top + rows.max() + 1,
                )
                assert inside(solid, safe_box(width, height, "all")), (photograph.stem, seconds)
                _is_clear(solid, look.card, tall=height > width)


@pytest.mark.parametrize("size", [(128, 128), (3840, 128), (144, 256)])
def test_every_size_of_frame_and_letters_has_room_for_what_a_style_adds(size: tuple[int, int]) -> None:
    options: dict[str, Any] = {"next_line": True, "progress_line": True, "countdown": True, "font_size": 400}
    for style in STYLES:
        look = Look(start=6, style=style, width=size[0], height=size[1], photograph=PHOTOGRAPHS[-1], **options)
        for seconds in (0, 5.5, 7.5):
            box, pixels = look.draw(seconds)
            rows, columns = np.nonzero((pixels[:, :, 3] > 120) & (pixels[:, :, :3].max(axis=2) > 150))
            solid = Box(
                box.left + columns.min(), box.top + rows.min(), box.left + columns.max() + 1, box.top + rows.max() + 1
            )
            assert inside(solid, safe_box(*size, "all")), (style, seconds)
            _is_clear(solid, look.card, tall=False)


def _is_clear(box: Box, card: Box | None, *, tall: bool) -> None:
    assert card is None or inside(box, card) or not overlaps(box, card)
    if tall:
        assert not [name for name, zones in PLATFORMS.items() for zone in zones if overlaps(box, zone)]


# --- whether it can be read -----------------------------------------------------------------------------------------

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "highlight": {"font_color": "#f0f0f0", "highlight_color": "#1c2f80", "emphasis": ["home"]},
    "dark": {"font_color": "#202020", "highlight_color": "#8a0000", "emphasis": ["home"], "emphasis_color": "gray"},
    "next": {"next_line": True, "outline": 0.08},
    "serif": {"font": "serif", "font_color": "gray", "emphasis": ["home"]},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("style", STYLES)
def test_letters_are_legible_on_every_photograph(style: StyleName, variant: str) -> None:
    for photograph in PHOTOGRAPHS if variant == "plain" else (PHOTOGRAPHS[0], PHOTOGRAPHS[3]):
        look = Look(photograph=photograph, style=style, **VARIANTS[variant])
        box, pixels = look.draw(1.5)
        frame = look.frame(1.5)[box.top : box.bottom, box.left : box.right]
        for color in _letters(look):
            # The inner part of the letters: where two outlines meet, single pixels have the same colour.
            inner = ~_grown(~where(pixels, color), 1)
            around = _grown(inner, 4) & ~_grown(inner, 3)
            assert inner.sum() > 150, (photograph.stem, color)
            ratios = [contrast(color, tuple(pixel)) for pixel in frame[around][::5].tolist()]
            # Large letters are legible from 3:1 (WCAG 2.2, success criterion 1.4.3).
            assert np.percentile(ratios, 15) >= 3, (photograph.stem, color, np.percentile(ratios, 15))


def _letters(look: Look) -> set[tuple[int, int, int]]:
    """Return the colours of the letters that are shown while the second word is sung."""
    style = look.renderer.style
    lit = style.look.highlight_color is not None
    base = [style.color, style.emphasis] if style.look.emphasis else [style.color]
    found = {style.color, *(style.dimmed(color, style.look.coming) if lit else color for color in base)}
    if lit and not style.look.pill:
        found.add(style.highlight)
    return found


def _grown(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


# --- what lyrics cannot do ------------------------------------------------------------------------------------------

HOSTILE = {
    "controls": ("He\x07llo \x1b[31mwor\x00ld", "Hello [31mworld"),
    "overrides": ("\u202eHello\u202c \u2066world\u2069\ufeff", "Hello world"),
    "separators": ("Hello\u2028world", "Hello world"),
    "names": ("Hello world\u2028None\u20280\u20280.5", "Hello world None 0 0.5"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("style", STYLES)
def test_hostile_characters_change_no_pixel(style: StyleName, case: str) -> None:
    hostile, plain = HOSTILE[case]
    extras: dict[str, Any] = {"next_line": True, "progress_line": True, "emphasis": ["world"]}
    one, other = Look(hostile, style=style, **extras), Look(plain, style=style, **extras)
    assert (one.draw(0.5)[0], one.draw(0.5)[1].tobytes()) == (other.draw(0.5)[0], other.draw(0.5)[1].tobytes())


@pytest.mark.parametrize(
    "lyrics",
    [
        r"{\pos(0,0)\fs400\p1}m 0 0 l 900 0 900 900{\p0}\N<font size=99>&lt;b&gt; %{n} Dialogue: 0,0:00",
        "\n".join(["W" * 2_000] * 25),
        "ﷺ" * 1_000,
        "Z" + "\u0335\u0489\u20dd" * 300,
        "\u200f" * 200 + "שלום " * 40,
    ],
    ids=["ass", "50,000-letters", "wide", "marks", "right-to-left"],
)
@pytest.mark.parametrize("style", ["classic", "box", "pop"])
def test_hostile_lyrics_stay_in_the_place_of_captions(style: StyleName, lyrics: str) -> None:
    look = Look(lyrics, style=style, words_per_group=50, next_line=True, emphasis=["{", "W"])
    frame, blank = look.frame(0.5), np.asarray(look._canvas.picture("")).astype(int)
    changed = np.abs(frame - blank).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert changed.any()
    safe = safe_box(1080, 1920, "all")
    assert columns.min() >= safe.left - 8
    assert columns.max() < safe.right + 8
    assert rows.min() >= safe.top - 8
    assert rows.max() < safe.bottom + 24


@pytest.mark.parametrize("style", STYLES)
def test_the_opacity_of_the_colour_is_that_of_all_that_is_drawn(style: StyleName) -> None:
    options: dict[str, Any] = {"style": style, "next_line": True, "progress_line": True, "emphasis": ["home"]}
    full, half, none = (Look(font_color=f"#ffffff{alpha}", **options).draw(1.5) for alpha in ("", "80", "00"))
    assert full[0] == half[0] == none[0]
    assert none[1][:, :, 3].max() == 0
    assert np.abs(half[1][:, :, 3] - full[1][:, :, 3] * 128 / 255).max() <= 1
    assert (half[1][:, :, :3] == full[1][:, :, :3])[full[1][:, :, 3] > 0].all()


def test_the_names_of_pictures_are_no_captions() -> None:
    pictures = [
        CaptionPicture("a"),
        CaptionPicture("a", sung=1),
        CaptionPicture("a", following="1"),
        CaptionPicture(dots=1),
    ]
    pictures += [CaptionPicture("a", progress=0.0), CaptionPicture("a", dots=1), CaptionPicture(progress=0.0)]
    pictures.append(CaptionPicture("a", following="2"))
    assert len({picture.name for picture in pictures}) == len(pictures)
    assert [picture.name for picture in pictures if "\n" not in picture.name] == ["a"]
