"""Finished videos and pictures are decoded completely before they are accepted as a result."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipelines.media.inspect.film_facts import facts_of
from pipelines.media.inspect.in_child import probe, seconds_of
from pipelines.media.inspect.sound import measure
from pipelines.media.sandbox.process import Bounds
from schemas.errors import InvalidAudio, ProviderResultInvalid, RenderTimeout
from tests.doubles.films import small_film
from tests.media_probe import ffmpeg, input_file, write_wav


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


#: Titles of ordinary files that are not UTF-8, and bytes that are no text at all.
TITLES = {
    "latin-1": "Motörhead – Björk".encode("cp1252"),
    "cp1251": "Кино – Группа крови".encode("cp1251"),
    "shift-jis": "東京事変 修羅場".encode("shift-jis"),
    "cut-utf-8": "Motörhead".encode()[:4] + b"\xc3",
    "utf-16": "\ufeffBjörk".encode("utf-16-le") + b"\xd8",
    "nul": b"a\0b\xff\0\xfe",
}
#: Where each container has tags: of the file, its streams and its chapters.
SCRIPT = ";FFMETADATA1\ntitle={0}\nartist={0}\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle={0}\n"


def with_title(path: Path, title: bytes, source: Path, *options: str) -> Path:
    """Convert ``source`` to ``path`` with ``title`` in all its tags, byte for byte."""
    placeholder = "T" * len(title)
    (script := path.with_suffix(".txt")).write_text(SCRIPT.format(placeholder))
    tags = ["-i", str(script), "-map", "0", "-map_metadata", "1", "-map_chapters", "1"]
    for number in ("0", "1"):
        tags += [
            f"-metadata:s:{number}",
            f"title={placeholder}",
            f"-metadata:s:{number}",
            f"handler_name={placeholder}",
        ]
    ffmpeg("-i", str(source), *tags, *options, str(path))
    content = path.read_bytes()
    assert placeholder.encode() in content
    return written(path, content.replace(placeholder.encode(), title))


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac"])
def test_a_song_whose_tags_are_not_utf_8_is_accepted_attack_2(tmp_path: Path, suffix: str, title: bytes) -> None:
    source = write_wav(tmp_path / "source.wav", 1.0)
    song = with_title(tmp_path / f"song.{suffix}", title, source, *(["-write_id3v1", "1"] if suffix == "mp3" else []))
    assert measure(song, suffix).seconds == pytest.approx(1.0, abs=0.1)


def test_a_song_with_broken_utf_16_in_its_id3v2_tag_is_accepted_attack_2(tmp_path: Path) -> None:
    source, song = write_wav(tmp_path / "source.wav", 1.0), tmp_path / "song.mp3"
    ffmpeg("-i", str(source), "-id3v2_version", "0", str(song))
    for text in (b"\x01\xff\xfeB\0\x00\xd8j\0\xf6", b"\x01Bj", b"\x02\xd8\x00", b"\x03Bj\xf6rk", b"\x09Bj\xf6rk"):
        frame = b"TIT2" + len(text).to_bytes(4, "big") + b"\0\0" + text
        tag = b"ID3\x03\0\0\0\0\0" + bytes([len(frame)]) + frame
        assert measure(written(tmp_path / "tagged.mp3", tag + song.read_bytes()), "mp3").seconds > 0.9


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
def test_a_film_whose_tags_are_not_utf_8_is_a_result_attack_2(tmp_path: Path, suffix: str, title: bytes) -> None:
    source = written(tmp_path / "source.mp4", small_film())
    codec = ["-c:v", "libvpx", "-speed", "16"] if suffix == "webm" else ["-c:v", "copy"]
    film = with_title(tmp_path / f"film.{suffix}", title, source, *codec)
    assert facts_of(film, suffix)["frames"] == 24


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
