"""Invalid media in the real reel pipeline: error codes, the source systems' messages, and callbacks.

All requests are sent at once, together with a valid one, so that a failure that affects other jobs is noticed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.drop import drop
from tests.media_probe import write_photo, write_wav
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until

IMAGE, AUDIO = "Image must be JPG or PNG", "Audio must be MP3, WAV, or FLAC"
TOO_LARGE = 100 * 1024 * 1024 + 1
TAG = b"ID3\4\0\0\0\0\0\0"  # an ID3 header, as at the start of an MP3 file


@dataclass(frozen=True)
class Bad:
    """An invalid input and the error that it causes."""

    field: str
    code: str
    #: The whole message, or its beginning if it ends with an ellipsis.
    message: str
    #: A function that writes the file, or the URI of an input that does not exist or is forbidden.
    content: Callable[[Path], object] | str


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG whose header declares this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def sparse(path: Path, head: bytes) -> None:
    """Write a sparse file that is one byte too large."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(TOO_LARGE)


def cut(path: Path, part: float) -> None:
    """Write a photograph that is cut off after ``part`` of its bytes."""
    whole = write_photo(path.with_suffix(".jpg"), 1200, 1600).read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])


def silent_wav(path: Path) -> None:
    """Write a WAV file with a header and no samples."""
    write_wav(path.with_suffix(".wav"), 0.0).rename(path)


BAD = {
    "a text as image": Bad("image", "invalid_image", IMAGE, lambda p: p.write_text("GIF? no, text")),
    "a GIF as image": Bad("image", "invalid_image", IMAGE, lambda p: p.write_bytes(b"GIF89a\1\0\1\0\0\0\0;")),
    "an SVG as image": Bad("image", "invalid_image", IMAGE, lambda p: p.write_text('<svg width="9" height="9"/>')),
    "a song as image": Bad("image", "invalid_image", IMAGE, lambda p: write_wav(p.with_suffix(".wav"), 0.2).rename(p)),
    "an empty image": Bad("image", "invalid_image", IMAGE, lambda p: p.write_bytes(b"")),
    "a picture as audio": Bad("audio", "invalid_audio", AUDIO, lambda p: p.write_bytes(png(1, 1))),
    "a playlist as audio": Bad(
        "audio", "invalid_audio", AUDIO, lambda p: p.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    ),
    "a list of files as audio": Bad("audio", "invalid_audio", AUDIO, lambda p: p.write_text("ffconcat version 1.0\n")),
    "an empty audio": Bad("audio", "invalid_audio", AUDIO, lambda p: p.write_bytes(b"")),
    "an image over 100 MB": Bad("image", "file_too_large", "File too large…", lambda p: sparse(p, png(1, 1))),
    "an audio over 100 MB": Bad("audio", "file_too_large", "File too large…", lambda p: sparse(p, TAG)),
    "half a photograph": Bad("image", "invalid_image", "the image is truncated or damaged…", lambda p: cut(p, 0.5)),
    "a photograph's first bytes": Bad("image", "invalid_image", "the image cannot be read…", lambda p: cut(p, 0.001)),
    "a bomb of 40,000 x 40,000": Bad(
        "image",
        "invalid_image",
        "the image has 40,000 x 40,000 pixels (1,600 megapixels)…",
        lambda p: p.write_bytes(png(40_000, 40_000)),
    ),
    "an audio without a sample": Bad("audio", "invalid_audio", "…", silent_wav),
    "noise behind an MP3 tag": Bad("audio", "invalid_audio", "…", lambda p: p.write_bytes(TAG + b"\x11" * 9999)),
    "a key that is not there": Bad("image", "input_not_found", "…", "s3://inbox/missing.jpg"),
    "a bucket that is not there": Bad("audio", "input_not_found", "…", "s3://no-such-bucket/song.mp3"),
    "a file that is not there": Bad("image", "input_not_found", "…", "file://MEDIA/missing.jpg"),
    "a file outside of the allowed folders": Bad("image", "input_forbidden", "…", "file:///etc/passwd"),
    "a way out of the allowed folder": Bad("image", "input_forbidden", "…", "file://MEDIA/../callback-secret"),
}


@dataclass(frozen=True)
class Sent:
    """The Telecine that got the requests, and the receiver of its callbacks."""

    process: TelecineProcess
    receiver: Receiver
    secret: str

    def callbacks(self, job_id: str) -> list[Any]:
        """Return the bodies of a job's callbacks after verifying their signatures."""
        bodies = [self.receiver.verify(attempt, self.secret) for attempt in self.receiver.attempts]
        return [body for body in bodies if body["data"]["id"] == job_id]


def job_id(name: str) -> str:
    """Return the job id of a case."""
    return "".join(c if c.isalnum() else "-" for c in name)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """Yield a running Telecine with all requests in its inbox."""
    home = tmp_path_factory.mktemp("telecine")
    media = home / "media"
    media.mkdir()
    write_photo(media / "photo.jpg", 270, 480)
    write_wav(media / "song.wav", 0.5)
    good: dict[str, Any] = {"lyrics": "La", "alignment_mode": "even", "width": 144, "height": 256}
    good |= {"image": f"file://{media}/photo.jpg", "audio": f"file://{media}/song.wav"}
    with Receiver() as receiver, TelecineProcess(home, allowed_private_hosts=f"127.0.0.1:{receiver.port}") as process:
        drop_all = {"good": good}
        for number, (name, bad) in enumerate(BAD.items()):
            # The extension must not matter: the content decides.
            path = media / f"{number}.{'jpg' if bad.field == 'image' else 'mp3'}"
            uri = bad.content.replace("MEDIA", str(media)) if isinstance(bad.content, str) else f"file://{path}"
            if not isinstance(bad.content, str):
                bad.content(path)
            drop_all[job_id(name)] = good | {bad.field: uri}
        for key, data in drop_all.items():
            request = {"id": key, "type": "reel", "data": data, "callback": {"url": receiver.url}}
            drop(process.settings.inbox_folder, json.dumps(request).encode())
        process.start()
        process.wait_for_job("good", timeout=120)
        yield Sent(process, receiver, (home / "callback-secret").read_text().strip())


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_input_fails_its_job_with_its_code_and_a_callback(sent: Sent, name: str) -> None:
    bad = BAD[name]
    job = sent.process.wait_for_job(job_id(name))
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == bad.code
    assert job.error["field"] == f"data.{bad.field}"
    if bad.message.endswith("…"):
        assert job.error["message"].startswith(bad.message[:-1])
    else:
        assert job.error["message"] == bad.message
    # Only the folder that may be read is named.
    assert str(sent.process.home) not in job.error["message"].replace(str(sent.process.home / "media"), "")
    assert job.error["retryable"] is False
    (body,) = wait_until(lambda: sent.callbacks(job.id))
    assert (body["type"], body["data"]["status"], body["data"]["error"]) == ("job.failed", "failed", job.error)
    assert "outputs" not in body["data"]


def test_the_valid_request_among_them_was_served(sent: Sent) -> None:
    job = sent.process.wait_for_job("good")
    assert job.state == "completed"
    assert (job.crashes, job.failures) == (0, 0)


def test_nothing_of_a_failed_job_is_left_behind(sent: Sent) -> None:
    for name in BAD:
        sent.process.wait_for_job(job_id(name))
    wait_until(lambda: list(sent.process.settings.scratch_folder.iterdir()) == [])
    results = sent.process.settings.storage_folder / "results"
    assert [path.name for path in results.iterdir() if not path.name.startswith(".")] == ["good"]
    assert sent.process.running
