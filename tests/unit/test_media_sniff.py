"""Detection of file kinds from their first bytes."""

from __future__ import annotations

import pytest

from pipelines.media.inspect.sniff import CONTENT_TYPES, sniff

MP3_FRAME = b"\xff\xfb\x90\x64" + bytes(413)  # 128 kbit/s, 44.1 kHz: 417 bytes


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png"),
        (b"GIF89a", "gif"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "webp"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + b"fLaC", "flac"),
        (b"ID3\x03\0\0\0\0\x20\0" + bytes(50), "mp3"),
        (MP3_FRAME * 3, "mp3"),
        (MP3_FRAME[:300], "mp3"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc", "aac"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x20ftypM4A ", "m4a"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x20ftypheic", "heic"),
        (b"OggS\0\x02", "ogg"),
        (b"\x1aE\xdf\xa3", "webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "webm"),
        (b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska", "mkv"),
    ],
)
def test_a_kind_is_detected_from_the_first_bytes(head: bytes, kind: str) -> None:
    assert sniff(head) == kind
    assert kind in CONTENT_TYPES


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"\xff\xfb",
        b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd",
        b"ffconcat version 1.0\nfile x",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"RIFF\0\0\0\0ABCD",
        b"ID3",
        b"\xff\xff" * 400,
        MP3_FRAME + b"garbage" * 10,
        b"\0" * 4096,
    ],
)
def test_playlists_text_and_garbage_are_not_recognised(head: bytes) -> None:
    assert sniff(head) is None


def test_no_first_bytes_cause_an_exception() -> None:
    for prefix in (b"ID3", b"RIFF", b"\xff\xfb", b"\xff\xf1", b"BM", b"\0\0\0\x20ftyp"):
        for length in range(len(MP3_FRAME)):
            sniff(prefix + MP3_FRAME[:length])
