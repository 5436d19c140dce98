"""The inbox with producers that replace files while they are admitted, and with a full disk."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.doors.drop import drop
from consumer.doors.inbox import InboxDoor
from consumer.ledger import dead_letters, queries
from providers.http.policy import Policy
from tests.ledger_views import Ledger


def body(job_id: str) -> bytes:
    data = {"image": "s3://inbox/c.png"}
    return json.dumps({"id": job_id, "type": "image-to-prompt", "data": data}).encode()


class Door:
    """An inbox door whose producers act between the commit and the deletion of the files."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.ledger = folder, ledger
        policy = AdmissionPolicy(
            roles={"image-to-prompt": "render"}, secret_names=frozenset(), policy=Policy(), max_message_bytes=262_144
        )
        self._admitter = BatchAdmitter(ledger.a, policy)
        self.after_commit: Callable[[], object] = lambda: None
        self.door = InboxDoor(folder, self._admit, lambda wakes: None, batch=10, poll_seconds=0.02, limit_bytes=262_144)

    def _admit(self, messages: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        results = self._admitter(messages)
        self.after_commit()
        self.after_commit = lambda: None
        return results

    def jobs(self) -> dict[str, int]:
        """Return the number of duplicates by job."""
        return {job.id: job.duplicates for job in queries.list_jobs(self.ledger.a, limit=999)}

    def put(self, name: str, job_id: str) -> None:
        """Write a request beside the inbox and rename it into the inbox."""
        (self.folder.parent / "new").write_bytes(body(job_id))
        (self.folder.parent / "new").rename(self.folder / name)


@pytest.fixture
def inbox(ledger: Ledger, tmp_path: Path) -> Door:
    return Door(ledger, tmp_path / "inbox")


def rewrite(path: Path) -> None:
    path.write_bytes(body("two"))
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "replace",
    [
        pytest.param(lambda door: door.put("a.json", "two"), id="attack-10-renamed-over"),
        pytest.param(lambda door: rewrite(door.folder / "a.json"), id="attack-10-rewritten-in-place"),
        pytest.param(
            lambda door: ((door.folder / "a.json").unlink(), door.put("a.json", "two")), id="attack-10-deleted-and-new"
        ),
    ],
)
def test_a_request_that_replaces_one_being_admitted_is_not_lost(inbox: Door, replace: Callable[[Door], object]) -> None:
    inbox.put("a.json", "one")
    inbox.after_commit = lambda: replace(inbox)
    assert [inbox.door.take(), inbox.door.take(), inbox.door.take()] == [1, 1, 0]
    assert inbox.jobs() == {"one": 0, "two": 0}
    assert list(inbox.folder.iterdir()) == []


def test_of_many_requests_under_one_name_each_is_admitted_or_replaced_by_its_producer_attack_10(inbox: Door) -> None:
    for number in range(50):
        inbox.put("a.json", f"first-{number}")
        inbox.after_commit = lambda number=number: inbox.put("a.json", f"second-{number}")  # type: ignore[misc]
        inbox.door.take()
        inbox.door.take()
    assert len(inbox.jobs()) == 100


def test_a_file_that_was_renamed_before_a_crash_is_read_again_attack_10(
    inbox: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.put("a.json", "one")
    with monkeypatch.context() as crash:
        crash.setattr(Path, "unlink", lambda path, missing_ok=False: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            inbox.door.take()
    assert inbox.door.take() == 1
    assert inbox.jobs() == {"one": 1}
    assert list(inbox.folder.iterdir()) == []


def test_a_long_name_is_deleted_too(inbox: Door) -> None:
    inbox.put("ß" * 125 + ".json", "one")
    assert inbox.door.take() == 1
    assert list(inbox.folder.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "write", "rename"])
def test_a_request_that_cannot_be_written_leaves_nothing_attack_3(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def full_disk(path: Path, mode: str) -> object:
        opened(path, mode).close()
        return opened(Path("/dev/full"), mode)

    if call == "write":
        monkeypatch.setattr(Path, "open", full_disk)
    else:
        monkeypatch.setattr({"fsync": "os.fsync", "rename": "pathlib.Path.rename"}[call], full)
    with pytest.raises(OSError, match="No space left"):
        drop(tmp_path / "inbox", body("one"))
    assert list((tmp_path / "inbox").iterdir()) == []


def test_part_files_of_producers_that_died_are_deleted_after_a_day_attack_3(
    inbox: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = inbox.folder / ".old.part", inbox.folder / ".new.part"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    inbox.door.stop()
    inbox.door.run()
    assert (old.exists(), new.exists()) == (False, True)
    os.utime(new, (time.time() - 90_000,) * 2)
    inbox.door.run()
    assert new.exists(), "it is looked for once an hour"
    monkeypatch.setattr(inbox.door, "_clear_at", 0.0)
    inbox.door.run()
    assert not new.exists()


def test_a_file_that_is_cut_in_its_dead_letter_is_kept_attack_12(inbox: Door) -> None:
    content = b'{"id": "' + b"x" * 2_000_000 + b'"}'
    (inbox.folder / "large.json").write_bytes(content)
    (inbox.folder / "wrong.json").write_bytes(b"{}")
    assert [inbox.door.take(), inbox.door.take()] == [2, 0]
    (kept,) = inbox.folder.iterdir()
    assert kept.name.startswith("large.json.")
    assert kept.suffix == ".too-large"
    assert kept.read_bytes() == content
    (wrong, large) = sorted(dead_letters.list_newest(inbox.ledger.a, limit=9), key=lambda letter: len(letter.body))
    assert (wrong.body, large.headers["telecine-bytes"]) == (b"{}", len(content))
