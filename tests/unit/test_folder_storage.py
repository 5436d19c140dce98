"""The storage folder: ordinary files and names, consistent after a crash, and no access outside of it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
import urllib.request
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, strategies as st

from consumer.storage import folder
from consumer.storage.atomic_copy import check_unchanged
from consumer.storage.base import ObjectFacts
from consumer.storage.folder import HIDDEN, LEFTOVER_SECONDS, FolderStorage
from consumer.storage.paths import bucket_folder, key_of, path_of
from schemas.errors import InputForbidden, OutputExists, OutputForbidden, StorageUnavailable

URI = "s3://results/orders/1/video.mp4"


class Killed(BaseException):
    """A simulated kill -9, which no code of the product catches."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video"
    path.write_bytes(b"moving pictures")
    return path


def _facts(path: Path, job_id: str = "job-1") -> ObjectFacts:
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return ObjectFacts(job_id=job_id, fingerprint="f", content_type="video/mp4", sha256=sha256, bytes=len(content))


keys = st.text(st.one_of(st.sampled_from("/.%~ab2E "), st.characters(codec="utf-8")), min_size=1, max_size=400).filter(
    lambda key: len(key.encode()) <= 1_024
)


@given(keys)
def test_every_path_is_converted_back_to_its_key(key: str) -> None:
    path = path_of(key)
    assert key_of(path) == key
    assert not path.is_absolute()
    assert all(0 < len(os.fsencode(part)) <= 255 and part not in (".", "..") for part in path.parts)
    assert "\0" not in str(path)


@given(keys, keys)
def test_two_keys_never_share_a_path(one: str, other: str) -> None:
    assert (path_of(one) == path_of(other)) is (one == other)


@pytest.mark.parametrize("key", ["orders/1042/order-1042/video.mp4", "a b+é.wav", "שלום.mp3", ".hidden", "v1.2/x_y-z~"])
def test_ordinary_keys_are_used_unchanged_as_paths(key: str) -> None:
    assert path_of(key) == PurePosixPath(key)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("../x", "%2E%2E/x"),
        ("/a//b/", "%/a/%/b/%"),
        ("100%", "100%25"),
        ("a\0b", "a%00b"),
        ("dot.", "dot%2E"),
        ("\u202egnp.exe", "%E2%80%AEgnp.exe"),
        ("s" * 300, "s" * 240 + "%~/" + "s" * 60),
    ],
)
def test_unsafe_keys_are_written_with_percent_signs(key: str, path: str) -> None:
    assert str(path_of(key)) == path


def test_no_bucket_has_the_name_of_the_hidden_folder() -> None:
    assert bucket_folder(HIDDEN) != HIDDEN
    assert bucket_folder("...") not in ("..", "...")
    assert bucket_folder("results") == "results"


def test_a_result_is_at_the_path_of_its_uri(root: Path, video: Path) -> None:
    storage = FolderStorage(root)
    storage.put(video, URI, _facts(video))
    assert (root / "results/orders/1/video.mp4").read_bytes() == b"moving pictures"
    assert sorted(path.name for path in root.iterdir()) == [HIDDEN, "results"]
    assert [path.name for path in (root / "results/orders/1").iterdir()] == ["video.mp4"]
    with urllib.request.urlopen(storage.url(URI, 60)) as answer:
        assert answer.read() == b"moving pictures"


@pytest.fixture(params=["attributes", "sidecars"])
def marks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems with extended attributes, and without."""
    if request.param == "sidecars":

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr("consumer.storage.marks.os.setxattr", refuse)
    return str(request.param)


@pytest.mark.parametrize("step", ["consumer.storage.folder.os.link", "consumer.storage.marks.sync_folder"])
def test_a_crash_before_the_object_appears_leaves_no_object(
    root: Path, video: Path, monkeypatch: pytest.MonkeyPatch, step: str, marks: str
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(step, killed)
        FolderStorage(root).put(video, URI, _facts(video, "job-0"))
    storage = FolderStorage(root)
    assert storage.head(URI) is None
    owner = storage.put(video, URI, _facts(video, "job-1")).owner
    assert owner is not None
    assert owner[0] == "job-1"
    with pytest.raises(OutputExists):
        storage.put(video, URI, _facts(video, "job-0"))


def test_an_object_from_before_a_crash_is_adopted(root: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def link_and_die(*paths: Path) -> None:
        link(*paths)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("consumer.storage.folder.os.link", link_and_die)
        FolderStorage(root).put(video, URI, _facts(video))
    stored = FolderStorage(root).head(URI)
    assert FolderStorage(root).put(video, URI, _facts(video)) == stored


def test_a_file_that_people_changed_is_not_adopted(root: Path, video: Path, marks: str) -> None:
    storage = FolderStorage(root)
    storage.put(video, URI, _facts(video))
    assert list((root / HIDDEN).rglob("*.json")) == [] or marks == "sidecars"
    assert storage.put(video, URI, _facts(video)).content_type == "video/mp4"
    (root / "results/orders/1/video.mp4").write_bytes(b"Moving Pictures")
    found = storage.head(URI)
    assert found is not None
    assert found.content_type == "application/octet-stream"
    with pytest.raises(OutputExists):
        storage.put(video, URI, _facts(video))


def test_a_file_that_appears_during_the_write_is_kept(root: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(part: Path, target: Path) -> None:
        target.write_bytes(b"from a person")
        link(part, target)

    monkeypatch.setattr("consumer.storage.folder.os.link", late)
    with pytest.raises(OutputExists):
        FolderStorage(root).put(video, URI, _facts(video))
    assert (root / "results/orders/1/video.mp4").read_bytes() == b"from a person"


def test_a_name_cannot_be_both_file_and_folder(root: Path, video: Path) -> None:
    storage = FolderStorage(root)
    storage.put(video, URI, _facts(video))
    for uri in (URI + "/below", "s3://results/orders"):
        with pytest.raises(OutputExists, match="folder"):
            storage.put(video, uri, _facts(video))
        assert storage.head(uri) is None


def test_links_out_of_the_folder_are_not_followed(root: Path, video: Path, tmp_path: Path) -> None:
    storage = FolderStorage(root)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "results").mkdir(parents=True)
    (root / "results/way").symlink_to(outside)
    (root / "results/file").symlink_to(outside / "secret")
    for uri in ("s3://results/way/secret", "s3://results/file"):
        with pytest.raises(InputForbidden):
            storage.fetch(uri, tmp_path / "back", 100)
        with pytest.raises(OutputExists):
            storage.put(video, uri, _facts(video))
    with pytest.raises(OutputExists):
        storage.put(video, "s3://results/way/new", _facts(video))
    with pytest.raises(OutputForbidden, match="link"):
        storage.delete("s3://results/way/")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_pipe_in_the_folder_is_refused_without_waiting(root: Path, tmp_path: Path) -> None:
    (root / "inbox").mkdir(parents=True)
    os.mkfifo(root / "inbox/song.mp3")
    with pytest.raises(InputForbidden):
        FolderStorage(root).fetch("s3://inbox/song.mp3", tmp_path / "back", 100)


def test_a_full_disk_is_a_temporary_failure(root: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("consumer.storage.folder.shutil.copyfile", full)
    with pytest.raises(StorageUnavailable, match="full"):
        FolderStorage(root).put(video, URI, _facts(video))


def test_partial_copies_of_a_crash_are_deleted_by_the_next_start_and_then_every_hour_attack_12(
    root: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = root / HIDDEN / "parts"
    parts.mkdir(parents=True)

    def leave(name: str, age: float) -> Path:
        (parts / name).touch()
        os.utime(parts / name, (time.time() - age,) * 2)
        return parts / name

    old, new, locked = leave("old", LEFTOVER_SECONDS + 60), leave("new", 60), leave("locked", 90_000)
    with locked.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        storage = FolderStorage(root)
        assert (old.exists(), new.exists(), locked.exists()) == (False, True, True)
    storage.put(video, URI, _facts(video))
    assert locked.exists()
    monkeypatch.setattr(storage, "_sweep_at", 0.0)
    storage.put(video, "s3://results/other", _facts(video))
    assert sorted(path.name for path in parts.iterdir()) == ["new"]


def test_a_copy_being_written_is_not_deleted_by_another_process_however_old_attack_12(
    root: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FolderStorage(root)

    def slow(part: Path, facts: ObjectFacts) -> bytes:
        os.utime(part, (0, 0))
        FolderStorage(root)
        return check_unchanged(part, facts)

    monkeypatch.setattr(folder, "check_unchanged", slow)
    assert storage.put(video, URI, _facts(video)).bytes == video.stat().st_size


def test_deleting_includes_empty_folders_and_hidden_files(root: Path, video: Path, marks: str) -> None:
    storage = FolderStorage(root)
    storage.put(video, URI, _facts(video))
    assert storage.delete("s3://results/orders/1") == 1
    assert not (root / "results/orders/1").exists()
    assert not list((root / HIDDEN).rglob("*.json"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOSPC, errno.EDQUOT])
def test_a_full_read_only_or_unavailable_disk_is_a_temporary_failure(
    number: int, root: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FolderStorage(root)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(StorageUnavailable, match="Will retry"):
        patch.setattr(os, "link", fail)
        storage.put(video, URI, _facts(video))
    assert storage.put(video, URI, _facts(video)).bytes == len(video.read_bytes())


def test_a_leftover_on_a_read_only_disk_does_not_prevent_the_start(
    root: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = root / HIDDEN / "parts" / "left"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (0, 0))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        assert FolderStorage(root).head(URI) is None
    FolderStorage(root)
    assert not left.exists()
