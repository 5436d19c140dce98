"""The cover of a reel, and the contact sheet of ``telecine preview``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ops.cli.main import app
from pipelines.audio_to_captions import plan as plan_captions
from pipelines.media.inspect.sound import estimate, measure
from pipelines.memory_context import MemoryContext
from pipelines.models.local_reel import render_reel
from pipelines.reel import plan, preview, reel
from providers.registry import catalogue_of
from schemas.audio_to_captions import AudioToCaptions
from schemas.errors import InvalidAudio, InvalidImage, LyricsRequired
from schemas.settings import Settings
from tests.media_probe import ffmpeg, frames_of, input_file, planes_digest, reel_data, write_photo, write_wav

LYRICS = "\n".join(("one", "two", "three", "four"))


def cover(folder: Path, lyrics: str = LYRICS, **options: Any) -> tuple[Image.Image, list[Any]]:
    """Render a reel of four seconds; return its cover and the pixels of its frames."""
    write_photo(folder / "a.jpg", 270, 480)
    (folder / "job").mkdir()
    files = (input_file(folder / "a.jpg", "image"), input_file(write_wav(folder / "a.wav", 4), "audio"))
    made = render_reel(reel_data(lyrics, words_per_group=1, **options), *files, folder / "job")
    assert made[-1].name == "cover.jpg"
    assert (made[-1].facts.width, made[-1].facts.height, made[-1].content_type) == (270, 480, "image/jpeg")
    with Image.open(made[-1].path) as image:
        image.load()
    return image, [pixels for _, _, pixels in frames_of(made[0].path)]


@pytest.mark.parametrize(
    ("options", "second"),
    [({}, 0.5), ({"cover_at": 2.5}, 2.5), ({"cover_at": 99}, 3.9), ({"timing_offset": 1}, 1.5), ({"start": 2}, 0.5)],
)
def test_the_cover_shows_a_caption(tmp_path: Path, options: dict[str, Any], second: float) -> None:
    image, frames = cover(tmp_path, **options)
    assert image.size == (270, 480)
    differences = {at: np.abs(np.asarray(image).astype(int) - frames[at]).mean() for at in range(15, len(frames), 15)}
    assert differences[min(differences, key=lambda at: abs(at - round(second * 30)))] == min(differences.values())
    assert min(differences.values()) < 4


def test_a_time_without_a_caption_has_the_picture_alone(tmp_path: Path) -> None:
    image, frames = cover(tmp_path, timing_offset=1, cover_at=0.5)
    assert np.abs(np.asarray(image).astype(int) - frames[15]).mean() < 4
    assert np.abs(np.asarray(image).astype(int) - frames[45]).mean() > np.abs(frames[15].astype(int) - image).mean()


def sheet(folder: Path, lyrics: str, seconds: float, **options: Any) -> tuple[dict[str, Any], Image.Image]:
    write_photo(folder / "a.jpg", 270, 480)
    files = {"s3://bucket/a.jpg": folder / "a.jpg", "s3://bucket/a.wav": write_wav(folder / "a.wav", seconds)}
    facts = preview(reel_data(lyrics, words_per_group=1, **options), MemoryContext(folder, "reel", files), folder / "p")
    with Image.open(folder / "p") as image:
        image.load()
    return facts, image


@pytest.mark.parametrize(("words", "shown", "columns", "rows"), [(1, 1, 1, 1), (9, 9, 8, 2), (180, 40, 8, 5)])
def test_a_contact_sheet_has_the_captions_in_order(
    tmp_path: Path, words: int, shown: int, columns: int, rows: int
) -> None:
    lyrics = "\n".join("I" * (1 + 12 * index // words) for index in range(words))
    facts, image = sheet(tmp_path, lyrics, 60, width=1080, height=1920, font_size=90)
    assert facts == {"captions": words, "shown": shown}
    assert image.size == (columns * 224 + 8, rows * 410 + 8)
    # The captions become longer: so does the yellow.
    tiles = [image.crop((8 + x * 224, 8 + y * 410, 224 + x * 224, 392 + y * 410)) for y in range(rows)
             for x in range(columns)][:shown]  # fmt: skip
    yellow = [
        int(((np.asarray(tile)[:, :, :2] > 200).all(2) & (np.asarray(tile)[:, :, 2] < 90)).sum()) for tile in tiles
    ]
    assert yellow[0] > 0
    assert yellow == pytest.approx(sorted(yellow), rel=0.2, abs=9)


@pytest.mark.parametrize("size", [(3840, 128), (128, 3840), (1920, 1080), (128, 128)])
def test_every_size_has_a_sheet(tmp_path: Path, size: tuple[int, int]) -> None:
    facts, image = sheet(tmp_path, LYRICS, 4, width=size[0], height=size[1])
    assert facts["shown"] == 4
    assert image.width <= 4 * 224 + 8


def test_a_preview_needs_no_lyrics_and_refuses_what_a_reel_refuses(tmp_path: Path) -> None:
    with pytest.raises(LyricsRequired):
        sheet(tmp_path, "", 2, alignment_mode="auto")
    (tmp_path / "a.jpg").write_bytes(b"text")
    files = {"s3://bucket/a.jpg": tmp_path / "a.jpg", "s3://bucket/a.wav": tmp_path / "a.wav"}
    with pytest.raises(InvalidImage, match=r"^Image must be JPG or PNG$"):
        preview(reel_data("la"), MemoryContext(tmp_path, "reel", files), tmp_path / "p")


def test_telecine_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELECINE_ALLOWED_INPUT_FOLDERS", str(tmp_path))
    image, audio = write_photo(tmp_path / "a.jpg"), write_wav(tmp_path / "a.wav", 200)
    data = {"image": image.as_uri(), "audio": audio.as_uri(), "lyrics": "la la la\n" * 180, "alignment_mode": "even"}
    (tmp_path / "r.json").write_text(json.dumps({"id": "p", "type": "reel", "data": data}))
    started = time.process_time()
    result = CliRunner().invoke(app, ["preview", "r.json", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"job_id": "p", "file": "preview.png", "captions": 180, "shown": 40}
    assert time.process_time() - started < 1
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(app, ["preview", "r.json", "-o", "no/such/folder.png"]).exit_code == 1
    (tmp_path / "r.json").write_text('{"id": "a", "type": "text-to-image", "data": {"prompt": "x"}}')
    assert CliRunner().invoke(app, ["preview", "r.json"]).exit_code == 1


def test_a_preview_of_a_long_song_does_not_decode_it(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 60)
    song = tmp_path / "a.flac"
    ffmpeg("-i", str(tmp_path / "a.wav"), str(song))
    content = bytearray(song.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    song.write_bytes(content)
    files = {"s3://bucket/a.jpg": write_photo(tmp_path / "a.jpg"), "s3://bucket/a.wav": song}
    data, context = reel_data("la la la\n" * 60), MemoryContext(tmp_path, "reel", files)
    with pytest.raises(InvalidAudio, match="truncated"):  # what only the decoder finds
        plan(data, context)
    assert preview(data, context, tmp_path / "p") == {"captions": 60, "shown": 40}


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".aiff"])
def test_the_length_of_a_preview_is_that_of_the_reel(tmp_path: Path, suffix: str) -> None:
    write_wav(tmp_path / "a.wav", 4.7)
    path = tmp_path / f"b{suffix}"
    ffmpeg("-i", str(tmp_path / "a.wav"), str(path))
    assert estimate(path, suffix[1:]).seconds == pytest.approx(measure(path, suffix[1:]).seconds, abs=0.06)


STANZAS = "[Verse 1]\none two three four five six seven\neight nine ten eleven\n\n[Chorus: all]\nla la la la"


@pytest.mark.parametrize(
    ("mode", "captions", "style", "part"),
    [
        ("even", 9, "karaoke", {}),
        ("even", None, "classic", {"start": 1.0, "end": 4.5}),
        ("auto", 7, "karaoke", {}),
        ("timing", 2, "karaoke", {}),
        ("timing", None, "karaoke", {"start": 1.0, "end": 4.5}),
    ],
    ids=["even", "part", "auto without a key", "given times", "part of given times"],
)
def test_a_plan_has_the_captions_and_pictures_of_the_job(
    tmp_path: Path, mode: str, captions: int | None, style: str, part: dict[str, Any]
) -> None:
    files = {
        "s3://bucket/a.jpg": write_photo(tmp_path / "a.jpg"),
        "s3://bucket/a.wav": write_wav(tmp_path / "a.wav", 6),
    }
    (tmp_path / "a.lrc").write_text("[00:01.00]la la la\n[00:03.00]li li\n[00:05.00]\n")
    files["s3://bucket/a.lrc"] = tmp_path / "a.lrc"
    options: dict[str, Any] = {"alignment_mode": mode, "style": style, **part}
    if mode == "timing":
        options |= {"timing": "s3://bucket/a.lrc", "alignment_mode": "even"}
    data = reel_data("" if mode == "timing" else STANZAS, **options)
    context = MemoryContext(tmp_path, "reel", files, catalogue_of(Settings()))
    planned = plan(data, context)
    video = reel(data, context)[0]
    shown = (tmp_path / "captions.vtt").read_text().count("-->")
    assert planned.details["captions"] == shown
    assert captions in (None, shown)
    frames = list(planes_digest(Path(video.uri.removeprefix("file://"))))
    changes = 1 + sum(before != after for before, after in pairwise(frames))
    assert planned.frames == len(frames)
    # A picture that is shown for long is encoded again at a key frame.
    assert changes <= planned.details["pictures"] <= changes + 2
    assert preview(data, context, tmp_path / "p.png")["captions"] == pytest.approx(shown, abs=1 if part else 0)


def test_a_preview_starts_without_what_only_a_ledger_needs() -> None:
    code = "import sys, ops.cli.preview, ops.planning; print({'sqlalchemy', 'boto3', 'celery'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_plan_of_captions_counts_them(tmp_path: Path) -> None:
    files = {"s3://bucket/a.wav": write_wav(tmp_path / "a.wav", 8)}
    context = MemoryContext(tmp_path, "audio-to-captions", files)
    for mode in ("even", "auto"):
        request = {"audio": "s3://bucket/a.wav", "lyrics": "a b c d\ne", "alignment_mode": mode, "words_per_group": 2}
        plan = plan_captions(AudioToCaptions.model_validate(request), context)
        assert plan.details == {"captions": 3}
    assert plan_captions(AudioToCaptions.model_validate({"audio": "s3://bucket/a.wav"}), context).details == {}
