"""``file://`` inputs: only regular files inside the allowed folders, in any spelling."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from consumer.storage.local_files import NotRegular, fetch_file, open_beneath
from schemas.errors import InputForbidden, InputNotFound, InputTooLarge


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """Return an allowed folder with a song in it; the folder next to it is forbidden."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "song.mp3").write_bytes(b"la la la")
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "allowed-not" / "secret").write_text("secret")
    return folder


def test_a_file_in_an_allowed_folder_is_copied(allowed: Path, tmp_path: Path) -> None:
    (allowed / "ä b#1?.mp3").write_bytes(b"la la la")
    for name in ("song.mp3", "ä b#1?.mp3"):
        fetched = fetch_file((allowed / name).as_uri(), tmp_path / "in" / "song", 8, [tmp_path / "other", allowed])
        assert (tmp_path / "in" / "song").read_bytes() == b"la la la"
        assert (fetched.bytes, fetched.sha256) == (8, hashlib.sha256(b"la la la").hexdigest())


@pytest.mark.parametrize("tail", ["-not/secret", "/../allowed-not/secret", "-not/missing.mp3"])
def test_a_refusal_names_the_allowed_folders_and_the_setting_M20(allowed: Path, tmp_path: Path, tail: str) -> None:
    with pytest.raises(InputForbidden) as refused:
        fetch_file(f"file://{allowed}{tail}", tmp_path / "in", 100, [allowed, tmp_path / "other"])
    for named in (f"({allowed}, {tmp_path / 'other'})", "TELECINE_ALLOWED_INPUT_FOLDERS"):
        assert named in refused.value.message


def test_a_link_within_the_allowed_folder_is_followed(allowed: Path, tmp_path: Path) -> None:
    (allowed / "latest.mp3").symlink_to("song.mp3")
    (tmp_path / "way-in").symlink_to(allowed)
    for path in (allowed / "latest.mp3", tmp_path / "way-in" / "song.mp3"):
        assert fetch_file(f"file://{path}", tmp_path / "in", 100, [allowed]).bytes == 8


@pytest.mark.parametrize(
    "tail",
    [
        "/../allowed-not/secret",
        "/%2e%2e/allowed-not/secret",
        "/./../allowed-not/secret",
        "-not/secret",
        "/link-out",
        "/folder-out/secret",
        "/../../../../../../../../../../etc/passwd",
        "/song.mp3%00.txt",
    ],
)
def test_no_name_leads_out_of_the_allowed_folder(allowed: Path, tmp_path: Path, tail: str) -> None:
    (allowed / "link-out").symlink_to(tmp_path / "allowed-not" / "secret")
    (allowed / "folder-out").symlink_to(tmp_path / "allowed-not")
    with pytest.raises(InputForbidden) as refused:
        fetch_file(f"file://{allowed}{tail}", tmp_path / "in", 100, [allowed])
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("uri", ["file://host/etc/passwd", "file:song.mp3", "/etc/passwd", "https://x/y", "file:///"])
def test_a_uri_that_is_not_a_local_file_is_forbidden(allowed: Path, tmp_path: Path, uri: str) -> None:
    with pytest.raises(InputForbidden):
        fetch_file(uri, tmp_path / "in", 100, [allowed])


@pytest.mark.parametrize("extra", ["?x=1", "#x"])
def test_a_question_mark_or_hash_has_to_be_escaped(allowed: Path, tmp_path: Path, extra: str) -> None:
    with pytest.raises(InputForbidden, match="%3F"):
        fetch_file(f"file://{allowed}/song.mp3{extra}", tmp_path / "in", 100, [allowed])


def test_an_error_does_not_reveal_what_exists_outside_the_folder(allowed: Path, tmp_path: Path) -> None:
    told = set()
    for name in ("secret", "nowhere"):
        with pytest.raises(InputForbidden) as refused:
            fetch_file(f"file://{tmp_path}/allowed-not/{name}", tmp_path / "in", 100, [allowed])
        told.add(str(refused.value))
    assert len(told) == 1


def test_without_allowed_folders_everything_is_forbidden(allowed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputForbidden):
        fetch_file(f"file://{allowed}/song.mp3", tmp_path / "in", 100, [])


@pytest.mark.timeout(60)
def test_folders_pipes_sockets_and_devices_are_refused_without_waiting(allowed: Path, tmp_path: Path) -> None:
    os.mkfifo(allowed / "pipe")
    (allowed / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(allowed / "socket"))
        for name in ("pipe", "folder", "socket"):
            with pytest.raises(InputForbidden, match="regular"):
                fetch_file(f"file://{allowed}/{name}", tmp_path / "in", 100, [allowed])
    with pytest.raises(InputForbidden, match="regular"):
        fetch_file("file:///dev/zero", tmp_path / "in", 100, [Path("/dev")])


def test_a_missing_file_is_not_found(allowed: Path, tmp_path: Path) -> None:
    for name in ("nowhere.mp3", "no/such/folder.mp3", "x" * 300):
        with pytest.raises(InputNotFound):
            fetch_file(f"file://{allowed}/{name}", tmp_path / "in", 100, [allowed])


def test_a_large_file_is_refused_and_not_copied(allowed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputTooLarge, match="File too large: 8 bytes, at most 7"):
        fetch_file(f"file://{allowed}/song.mp3", tmp_path / "into" / "x", 7, [allowed])
    assert not (tmp_path / "into").exists()


def test_a_file_without_an_end_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    with pytest.raises(InputTooLarge):
        fetch_file("file:///proc/self/environ", tmp_path / "into" / "x", 1, [Path("/proc")])
    assert not list(tmp_path.glob("into/*"))


def test_a_folder_that_is_swapped_for_a_link_after_the_check_is_refused(allowed: Path, tmp_path: Path) -> None:
    (allowed / "swapped").symlink_to(tmp_path / "allowed-not")
    with pytest.raises(NotRegular):
        open_beneath(allowed, Path("swapped/secret"))
    (allowed / "link").symlink_to("song.mp3")
    with pytest.raises(NotRegular):
        open_beneath(allowed, Path("link"))
    for outside in (Path("../allowed-not/secret"), Path("/etc/passwd"), Path()):
        with pytest.raises(NotRegular):
            open_beneath(allowed, outside)
