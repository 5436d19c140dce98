"""What is behind the captions of a reel, by the pixels of its frames: movement, several images, title, watermark."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.media.layout import safe_box
from pipelines.memory_context import MemoryContext
from pipelines.models.local_reel import render_reel
from pipelines.reel import plan, preview
from schemas.errors import InvalidImage, RequestError
from schemas.media import LocalFile
from schemas.parse import parse_request
from schemas.reel import Reel
from tests.media_probe import Pixels, boxes, frames_of, input_file, reel_data, write_photo, write_wav

Floats = NDArray[np.float64]


def disc(path: Path, width: int, height: int) -> Path:
    """Write a dark picture with a white disc in the upper left quarter; return its path."""
    image = Image.new("RGB", (width, height), (40, 44, 60))
    x, y, radius = width * 0.3, height * 0.25, min(width, height) * 0.08
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), "white")
    image.save(path, quality=95)
    return path


def rendered(folder: Path, image: Path, seconds: float, lyrics: str = "one two", **options: Any) -> list[LocalFile]:
    """Render a reel; return its files."""
    (folder / "job").mkdir(exist_ok=True)
    song = write_wav(folder / "a.wav", seconds, clicks=bool(options.pop("clicks", False)))
    data = reel_data(lyrics, **options)
    return render_reel(data, input_file(image, "image"), input_file(song, "audio"), folder / "job")


def centre(pixels: Pixels) -> Floats:
    """Return the centre of what is white, in pixels: x and y."""
    bright = pixels.astype(float).min(2).clip(120, 255) - 120
    rows, columns = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    return np.array([(bright * columns).sum() / bright.sum(), (bright * rows).sum() / bright.sum()])


def letters(pixels: Pixels) -> NDArray[np.bool_]:
    """Return where the frame is yellow."""
    return np.asarray((pixels[:, :, :2] > 170).all(2) & (pixels[:, :, 2] < 110))


@pytest.mark.parametrize("size", [(540, 960), (600, 600)], ids=["whole frame", "card"])
def test_kenburns_moves_the_image_smoothly_and_the_captions_not_at_all(tmp_path: Path, size: tuple[int, int]) -> None:
    video = rendered(tmp_path, disc(tmp_path / "a.jpg", *size), 6, motion="kenburns")[0]
    frames = [pixels for _, _, pixels in frames_of(video.path)]
    assert len(frames) == video.facts.frames == 180
    places = np.array([centre(pixels) for pixels in frames])
    assert np.abs(places[-1] - places[0]).max() > 4
    steps = np.diff(places, axis=0)
    assert np.abs(steps).max() < 0.5  # no frame jumps by a pixel
    assert np.abs(np.diff(steps, axis=0)).max() < 0.2
    shown = letters(frames[20])
    assert shown.sum() > 200
    assert (letters(frames[70]) ^ shown).sum() < shown.sum() * 0.06


def test_what_surrounds_a_card_does_not_move(tmp_path: Path) -> None:
    fields = np.random.default_rng(3).integers(0, 255, (20, 20, 3), np.uint8).repeat(30, 0).repeat(30, 1)
    Image.fromarray(fields).save(tmp_path / "a.jpg", quality=95)
    video = rendered(tmp_path, tmp_path / "a.jpg", 4, motion="kenburns")[0]
    frames = [pixels.astype(int) for _, _, pixels in frames_of(video.path)]
    changed = np.abs(frames[100] - frames[20]).max(2) > 24
    columns, rows = np.nonzero(changed.any(0))[0], np.nonzero(changed.any(1))[0]
    assert columns.min() > 10
    assert columns.max() < 260
    assert rows.min() > 40
    assert changed[rows.min() : rows.min() + 230, 20:250].mean() > 0.1


def test_a_moving_reel_is_a_strict_mp4_of_constant_rate_in_time_with_its_sound(tmp_path: Path) -> None:
    files = rendered(tmp_path, write_photo(tmp_path / "a.jpg"), 4, motion="kenburns", clicks=True, cover_at=3)
    names = boxes(files[0].path.read_bytes())
    assert names.index("moov") < names.index("mdat")
    assert not [name for name in names if name.endswith("edts")]
    frames = list(frames_of(files[0].path))
    assert [round(time * 30, 3) for time, _, _ in frames] == list(range(120))
    with av.open(str(files[0].path)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(container.streams.audio[0])]
        assert container.streams.audio[0].start_time == 0
    sound = np.concatenate(parts)
    for second in (1, 2, 3):
        at = second * 44_100 + 30
        assert abs(int(np.abs(sound[at - 2000 : at + 2000]).argmax()) - 2000) < 44
    with Image.open(files[-1].path) as cover:
        difference = {at: np.abs(np.asarray(cover).astype(int) - frames[at][2]).mean() for at in (0, 45, 90)}
    assert min(difference, key=lambda at: difference[at]) == 90
    assert difference[90] < 4


def test_plan_and_preview_of_a_moving_reel(tmp_path: Path) -> None:
    files = {
        "s3://bucket/a.jpg": write_photo(tmp_path / "a.jpg"),
        "s3://bucket/a.wav": write_wav(tmp_path / "a.wav", 6),
    }
    context = MemoryContext(tmp_path, "reel", files)
    still, moving = (plan(reel_data("one two", motion=motion), context) for motion in ("none", "kenburns"))
    assert moving.details == {"captions": 1, "pictures": 180}
    assert moving.estimated_seconds > still.estimated_seconds
    facts = preview(reel_data("one\ntwo\nthree", motion="kenburns"), context, tmp_path / "p.png")
    assert facts == {"captions": 3, "shown": 3}


def test_a_request_without_them_is_stored_as_the_version_before_wrote_it() -> None:
    assert "motion" not in reel_data("la").model_dump()
    assert json.loads(reel_data("la", motion="kenburns").model_dump_json())["motion"] == "kenburns"
    assert Reel.model_validate(reel_data("la", motion="kenburns").model_dump()).motion == "kenburns"


COLORS = {"red": (200, 20, 30), "green": (20, 170, 60), "blue": (30, 50, 210)}


def three_images(folder: Path, **options: Any) -> tuple[list[LocalFile], dict[str, Any]]:
    """Render six seconds with an image of another shape and colour every two; return the files and the request."""
    shapes = {"red": (270, 480), "green": (300, 300), "blue": (480, 270)}
    paths = []
    for name, size in shapes.items():
        Image.new("RGB", size, COLORS[name]).save(folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    (folder / "job").mkdir(exist_ok=True)
    images = [{"image": f"s3://bucket/{path.name}", "at": 2.0 * (index + 1)} for index, path in enumerate(paths[1:])]
    data = reel_data("one two three", images=images, **options)
    further = {f"images.{index}.image": input_file(path, "image") for index, path in enumerate(paths[1:])}
    song = write_wav(folder / "a.wav", 6)
    files = render_reel(data, input_file(paths[0], "image"), input_file(song, "audio"), folder / "job", further=further)
    return files, data.model_dump()


def shares(pixels: Pixels) -> list[float]:
    """Return how much of each colour the middle of the picture has, well inside of every card."""
    middle = pixels[150:170, 120:150].reshape(-1, 3).mean(0)
    return list(np.linalg.solve(np.array(list(COLORS.values()), float).T, middle))


@pytest.mark.parametrize(("motion", "options"), [("none", {}), ("kenburns", {}), ("none", {"crossfade": 0})])
def test_images_replace_each_other_at_their_times(tmp_path: Path, motion: str, options: dict[str, Any]) -> None:
    fade = round(options.get("crossfade", 1) * 30)
    files, _ = three_images(tmp_path, motion=motion, **options)
    frames = [pixels for _, _, pixels in frames_of(files[0].path)]
    assert len(frames) == 180
    seen = np.array([shares(pixels) for pixels in frames])
    for frame, expected in ((0, 0), (59, 0), (60 + fade, 1), (119, 1), (120 + fade, 2), (179, 2)):
        assert seen[frame][expected] == pytest.approx(1, abs=0.06), frame
    if fade:
        assert np.abs(seen[60:90, 1] - np.arange(1, 31) / 31).max() < 0.06
        assert np.abs(seen[60:90, :2].sum(1) - 1).max() < 0.06
    else:
        assert seen[59][0] > 0.94
        assert seen[60][1] > 0.94
    # The captions do not move, although one image fills the frame and two are cards.
    shown = [letters(frames[at]) for at in (30, 100, 175)]
    assert min(mask.sum() for mask in shown) > 100
    assert (shown[0] ^ shown[2]).sum() < shown[0].sum() * 0.35


def test_an_image_that_is_shown_is_repeated_bit_by_bit(tmp_path: Path) -> None:
    files, _ = three_images(tmp_path)
    frames = [pixels for _, _, pixels in frames_of(files[0].path)]
    assert all((frames[at] == frames[at + 1]).all() for at in (*range(91, 118), *range(151, 178)))


def test_captions_are_on_the_edge_of_no_card(tmp_path: Path) -> None:
    files, _ = three_images(tmp_path, crossfade=0)
    frames = [pixels.astype(int) for _, _, pixels in frames_of(files[0].path)]
    for at in (100, 175):
        rows = np.nonzero(letters(frames[at].astype(np.uint8)).any(1))[0]
        color = frames[at][160, 135]
        inside = np.nonzero(np.abs(frames[at][:, 60] - color).max(1) < 12)[0]
        assert inside.max() < rows.min()


def test_the_contact_sheet_and_the_plan_have_all_images(tmp_path: Path) -> None:
    _, stored = three_images(tmp_path)
    names = {"s3://bucket/a.jpg": "red.png", "s3://bucket/green.png": "green.png", "s3://bucket/blue.png": "blue.png"}
    files = {uri: tmp_path / name for uri, name in names.items()} | {"s3://bucket/a.wav": tmp_path / "a.wav"}
    data = Reel.model_validate(stored | {"words_per_group": 1})
    context = MemoryContext(tmp_path, "reel", files)
    assert plan(data, context).details["pictures"] == 1 + 2 * 31  # each crossfade has 30 frames
    assert preview(data, context, tmp_path / "p.png") == {"captions": 3, "shown": 3}
    with Image.open(tmp_path / "p.png") as sheet:
        tiles = [np.asarray(sheet.crop((8 + at * 224, 8, 224 + at * 224, 392)))[120:130, 90:120] for at in range(3)]
    assert [int(tile.reshape(-1, 3).mean(0).argmax()) for tile in tiles] == [0, 1, 2]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([{"image": "s3://bucket/b.png", "at": 0}], r"data\.images\.0\.at.*greater than 0"),
        (
            [{"image": "s3://bucket/b.png", "at": 5}, {"image": "s3://bucket/c.png", "at": 5}],
            r"data\.images.*5 s does not follow 5 s",
        ),
        ([{"image": "ftp://b.png", "at": 5}], r"data\.images\.0\.image: must start with s3://"),
        ([{"image": "s3://bucket/b.png"}], r"data\.images\.0\.at"),
    ],
)
def test_faulty_images_are_refused_by_name(images: list[dict[str, Any]], message: str) -> None:
    data = {"image": "s3://bucket/a.jpg", "audio": "s3://bucket/a.wav", "lyrics": "la", "images": images}
    with pytest.raises(RequestError, match=message):
        parse_request(json.dumps({"id": "a", "type": "reel", "data": data}).encode(), limit_bytes=10_000)


def test_a_damaged_further_image_is_named(tmp_path: Path) -> None:
    _, stored = three_images(tmp_path)
    write_photo(tmp_path / "blue.jpg")
    (tmp_path / "blue.jpg").write_bytes((tmp_path / "blue.jpg").read_bytes()[:9_000])
    further = {
        f"images.{index}.image": input_file(tmp_path / name, "image")
        for index, name in enumerate(("red.png", "blue.jpg"))
    }
    files = (input_file(tmp_path / "red.png", "image"), input_file(tmp_path / "a.wav", "audio"))
    with pytest.raises(InvalidImage, match="truncated or damaged") as caught:
        render_reel(Reel.model_validate(stored), *files, tmp_path / "job", further=further)
    assert caught.value.field == "data.images.1.image"


def logo(path: Path) -> Path:
    """Write a magenta disc on a transparent ground; return its path."""
    image = Image.new("RGBA", (400, 160))
    ImageDraw.Draw(image).ellipse((120, 0, 280, 160), fill=(230, 0, 230, 255))
    image.save(path)
    return path


def magenta(pixels: Pixels) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the pixels of the logo."""
    found = (pixels[:, :, 0] > 180) & (pixels[:, :, 1] < 70) & (pixels[:, :, 2] > 180)
    rows, columns = np.nonzero(found)
    return rows, columns


@pytest.mark.parametrize("motion", ["none", "kenburns"])
@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_a_watermark_is_in_its_corner_of_the_safe_area(tmp_path: Path, motion: str, corner: str) -> None:
    mark = input_file(logo(tmp_path / "logo.png"), "watermark")
    Image.new("RGB", (270, 480), (60, 90, 60)).save(tmp_path / "a.jpg")
    (tmp_path / "job").mkdir()
    data = reel_data("one", watermark="s3://bucket/logo.png", watermark_position=corner, motion=motion)
    image, song = input_file(tmp_path / "a.jpg", "image"), input_file(write_wav(tmp_path / "a.wav", 0.3), "audio")
    made = render_reel(data, image, song, tmp_path / "job", further={"watermark": mark})
    (_, _, pixels), *_ = frames_of(made[0].path)
    rows, columns = magenta(pixels)
    assert 300 < len(rows) < 800  # the disc, and not the transparent ground
    safe = safe_box(270, 480, "all")
    upper, left = corner.startswith("top"), corner.endswith("left")
    assert (rows.min() == pytest.approx(safe.top, abs=2)) if upper else (rows.max() + 1 <= safe.bottom)
    assert (columns.max() < 135) if left else (columns.min() > 135)
    assert safe.left <= columns.min()
    assert columns.max() < safe.right
    caption = np.nonzero(letters(pixels).any(1))[0]
    assert not set(caption) & set(rows)


@pytest.mark.parametrize("position", ["auto", "top", "middle", "bottom"])
@pytest.mark.parametrize("size", [(270, 480), (300, 300)], ids=["whole frame", "card"])
def test_title_and_artist_are_above_captions_and_card_and_never_under_a_button(
    tmp_path: Path, size: tuple[int, int], position: str
) -> None:
    Image.new("RGB", size, (60, 90, 60)).save(tmp_path / "a.jpg")
    options: dict[str, Any] = {"position": position, "width": 540, "height": 960, "font_size": 60}
    bare = rendered(tmp_path, tmp_path / "a.jpg", 0.3, **options, title="  ")[0]
    (_, _, without), *_ = frames_of(bare.path)
    video = rendered(tmp_path, tmp_path / "a.jpg", 0.3, title="A song", artist="Somebody\n\x07else", **options)[0]
    (_, _, pixels), *_ = frames_of(video.path)
    white = pixels.astype(int).min(2) > 200
    assert (without.astype(int).min(2) > 200).sum() < 20
    rows, columns = np.nonzero(white)
    safe = safe_box(540, 960, "all")
    assert len(rows) > 200
    assert safe.top <= rows.min()
    assert safe.left <= columns.min()
    assert columns.max() < safe.right
    assert abs(columns.min() + columns.max() - 540) < 20
    captions = np.nonzero(letters(pixels).any(1))[0]
    assert rows.max() < captions.min()
    assert captions.max() < safe.bottom


def test_missing_characters_of_the_title_are_reported(tmp_path: Path) -> None:
    video = rendered(tmp_path, write_photo(tmp_path / "a.jpg"), 0.3, title="\u0f40", artist="la")[0]
    assert video.details["missing_characters"] == "\u0f40"


def test_a_damaged_watermark_is_named(tmp_path: Path) -> None:
    mark = write_photo(tmp_path / "mark.jpg")
    mark.write_bytes(mark.read_bytes()[:9_000])
    files = {"s3://bucket/a.jpg": write_photo(tmp_path / "a.jpg"), "s3://bucket/m.jpg": mark}
    files["s3://bucket/a.wav"] = write_wav(tmp_path / "a.wav", 1)
    data = reel_data("la", watermark="s3://bucket/m.jpg")
    with pytest.raises(InvalidImage) as caught:
        plan(data, MemoryContext(tmp_path, "reel", files))
    assert caught.value.field == "data.watermark"


def bars(pixels: Pixels) -> NDArray[np.intp]:
    """Return the height of what is white in each column of the lower half of the frame."""
    return np.asarray((pixels[240:].astype(int).min(2) > 140).sum(0))


def write_tones(path: Path) -> Path:
    """Write a second of a low tone, one of silence, and one of a high tone; return the path of the WAV file."""
    time = np.arange(44_100) / 44_100
    parts = [np.sin(2 * np.pi * 100 * time), np.zeros(44_100), np.sin(2 * np.pi * 4_000 * time)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes((np.concatenate(parts) * 20_000).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("options", [{}, {"start": 1.0}, {"motion": "kenburns"}], ids=["whole", "part", "kenburns"])
def test_the_waveform_follows_the_sound(tmp_path: Path, options: dict[str, Any]) -> None:
    Image.new("RGB", (270, 480), (40, 60, 90)).save(tmp_path / "a.jpg")
    (tmp_path / "job").mkdir()
    image, song = input_file(tmp_path / "a.jpg", "image"), input_file(write_tones(tmp_path / "a.wav"), "audio")
    video = render_reel(reel_data("one two", waveform=True, **options), image, song, tmp_path / "job")[0]
    frames = [pixels for _, _, pixels in frames_of(video.path)]
    begin = round(options.get("start", 0) * 30)
    assert len(frames) == 90 - begin
    silent, high = (bars(frames[second - begin]) for second in (55, 75))
    assert 1 <= silent.max() <= 5
    assert np.nonzero(silent)[0].size > 30  # a silent bar is a dot
    middle, ends = slice(120, 150), np.r_[0:75, 195:270]
    assert high[ends].max() > 12 > 6 > high[middle].max()
    if not begin:
        low = bars(frames[15])
        assert low[middle].max() > 12 > 6 > low[ends].max()
    rows = np.nonzero((frames[75 - begin][240:].astype(int).min(2) > 140).sum(1) > 4)[0] + 240
    assert np.nonzero(letters(frames[75 - begin]).any(1))[0].max() < rows.min()
    assert rows.max() < safe_box(270, 480, "all").bottom


def test_a_waveform_of_a_silent_or_very_short_song_and_of_a_frame_without_room(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg")
    for seconds, width, height in ((0.1, 270, 480), (0.5, 128, 3840), (0.5, 3840, 128)):
        video = rendered(tmp_path, photo, seconds, waveform=True, clicks=True, width=width, height=height)[0]
        assert len(list(frames_of(video.path))) == round(seconds * 30)
