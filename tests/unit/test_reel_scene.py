"""What is behind the captions of a reel, by the pixels of its frames: movement, several images, title, watermark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.memory_context import MemoryContext
from pipelines.models.local_reel import render_reel
from pipelines.reel import plan, preview
from schemas.media import LocalFile
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
    return np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()


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
