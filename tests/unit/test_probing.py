"""Finished videos and pictures are decoded completely before they are accepted as a result."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipelines.media.inspect.in_child import probe, seconds_of
from pipelines.media.sandbox.process import Bounds
from schemas.errors import InvalidAudio, ProviderResultInvalid, RenderTimeout
from tests.doubles.films import small_film
from tests.media_probe import ffmpeg, input_file, write_wav


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_facts_of_a_film_are_counted(tmp_path: Path) -> None:
    facts = probe(written(tmp_path / "film", small_film(96, 64, 1.5, 24)), "mp4", tmp_path)
    assert (facts.width, facts.height, facts.frames, facts.fps) == (96, 64, 36, 24.0)
    assert facts.duration_seconds == 1.5
    assert (facts.video_codec, facts.audio_codec) == ("h264", None)


@pytest.mark.parametrize(("suffix", "kind"), [("mp4", "mp4"), ("mov", "mov"), ("mkv", "mkv"), ("webm", "webm")])
def test_each_container_is_read_with_its_sound(tmp_path: Path, suffix: str, kind: str) -> None:
    silent, film = written(tmp_path / "silent.mp4", small_film(96, 64, 1.0, 10)), tmp_path / f"film.{suffix}"
    codecs = ["-c:v", "libvpx", "-c:a", "libvorbis"] if suffix == "webm" else ["-c:v", "copy", "-c:a", "aac"]
    sound = write_wav(tmp_path / "sound.wav", 2.0)
    ffmpeg("-i", str(silent), "-i", str(sound), "-map", "0:v", "-map", "1:a", *codecs, str(film))
    facts = probe(film, kind, tmp_path)
    assert (facts.width, facts.height, facts.frames, facts.fps) == (96, 64, 10, 10.0)
    assert facts.audio_codec in ("aac", "vorbis")
    assert facts.duration_seconds == pytest.approx(2.0 if suffix in ("mp4", "mov") else 1.0, abs=0.05)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_size_of_a_picture_is_known_after_decoding_it(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (40, 30), "navy").save(tmp_path / "picture", kind)
    facts = probe(tmp_path / "picture", kind, tmp_path)
    assert (facts.width, facts.height, facts.frames) == (40, 30, None)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_film_is_not_a_result(tmp_path: Path, part: float) -> None:
    film = small_film(96, 64, 1.5, 24)
    with pytest.raises(ProviderResultInvalid):
        probe(written(tmp_path / "film", film[: int(len(film) * part)]), "mp4", tmp_path)


def test_a_film_with_a_complete_index_and_missing_frames_is_not_a_result(tmp_path: Path) -> None:
    ffmpeg(
        "-i",
        str(written(tmp_path / "a.mp4", small_film(96, 64, 4.0))),
        "-c",
        "copy",
        "-movflags",
        "faststart",
        str(tmp_path / "b.mp4"),
    )
    film = (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(ProviderResultInvalid, match=r"ends early|cannot be decoded"):
        probe(written(tmp_path / "half", film[: len(film) * 3 // 4]), "mp4", tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "mp4"),
        (b"<!doctype html><title>403</title>", "mp4"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 500, "mp4"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "mp4"),
        (b"\x1aE\xdf\xa3" + b"\0" * 200, "webm"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "png"),
        (b"ID3", "mp3"),
    ],
)
def test_a_file_that_is_not_a_film_is_not_a_result(tmp_path: Path, content: bytes, kind: str) -> None:
    with pytest.raises(ProviderResultInvalid):
        probe(written(tmp_path / "x", content), kind, tmp_path)


def test_sound_alone_is_not_a_film(tmp_path: Path) -> None:
    ffmpeg("-i", str(write_wav(tmp_path / "a.wav", 1.0)), str(tmp_path / "sound.mp4"))
    with pytest.raises(ProviderResultInvalid, match="contains no video"):
        probe(tmp_path / "sound.mp4", "mp4", tmp_path)


def test_a_probe_is_bounded_in_time(tmp_path: Path) -> None:
    film = written(tmp_path / "film", small_film())
    with pytest.raises(RenderTimeout):
        probe(film, "mp4", tmp_path, Bounds(wall_seconds=0.01))


def test_the_length_of_a_song_is_counted(tmp_path: Path) -> None:
    song = write_wav(tmp_path / "song.wav", 2.5)
    assert seconds_of(input_file(song, "audio")) == pytest.approx(2.5)
    song.write_bytes(song.read_bytes()[:50_000])
    with pytest.raises(InvalidAudio, match="truncated"):
        seconds_of(input_file(song, "audio"))
