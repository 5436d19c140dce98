"""The inbox folder with files that cannot be read or deleted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.admission.batch import BatchAdmitter
from consumer.admission.policy import AdmissionPolicy
from consumer.doors.inbox import InboxDoor
from consumer.ledger import dead_letters, queries
from providers.http.policy import Policy
from tests.ledger_views import Ledger
from tests.telecine_process import wait_until

BATCH = 4


class Inbox:
    """A folder and the door that reads it."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.folder = folder
        self.ledger = ledger
        self.woken: list[str] = []
        policy = AdmissionPolicy(
            roles={"image-to-prompt": "render"}, secret_names=frozenset(), policy=Policy(), max_message_bytes=262_144
        )
        self.door = InboxDoor(
            folder,
            BatchAdmitter(ledger.a, policy),
            lambda wakes: self.woken.extend(wake.job_id for wake in wakes),
            batch=BATCH,
            poll_seconds=0.02,
            limit_bytes=262_144,
        )
        self._thread = threading.Thread(target=self.door.run)

    def request(self, name: str) -> Path:
        """Write a valid request, with its job's id as the file name."""
        data = {"image": "s3://inbox/c.png"}
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"id": name, "type": "image-to-prompt", "data": data}))
        return path

    def unreadable(self, name: str) -> Path:
        """Add a file that not even root can read: the first page of this process's memory."""
        path = self.folder / f"{name}.json"
        path.symlink_to("/proc/self/mem")
        return path

    def start(self) -> None:
        """Read the folder until the test ends."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the door."""
        self.door.stop()
        if self._thread.ident is not None:
            self._thread.join(10)


@pytest.fixture
def inbox(ledger: Ledger, tmp_path: Path) -> Iterator[Inbox]:
    """Yield an empty inbox."""
    (tmp_path / "inbox").mkdir()
    found = Inbox(ledger, tmp_path / "inbox")
    yield found
    found.stop()


def test_unreadable_files_do_not_block_others_and_are_logged_once(inbox: Inbox) -> None:
    blocked = [inbox.unreadable(f"a-{number}") for number in range(2 * BATCH)]
    good = [inbox.request(f"job-{number}") for number in range(2 * BATCH + 1)]
    with capture_logs() as logs:
        inbox.start()
        wait_until(lambda: not any(path.exists() for path in good), timeout=20)
        threading.Event().wait(0.5)
        inbox.stop()
    assert len(inbox.woken) == len(good)
    logged = [log["file"] for log in logs if log["event"] == "inbox_file_unreadable"]
    assert sorted(logged) == sorted(path.name for path in blocked)


def test_a_file_that_becomes_readable_is_admitted(inbox: Inbox) -> None:
    path = inbox.unreadable("late")
    inbox.start()
    threading.Event().wait(0.2)
    path.unlink()
    path = inbox.request("late")
    wait_until(lambda: not path.exists(), timeout=20)
    assert inbox.woken == ["late"]


def test_files_that_cannot_be_deleted_are_admitted_once_and_do_not_block_others(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like files of another user in a folder with the sticky bit: readable, but not to be deleted."""
    unlink = Path.unlink

    def kept(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("kept"):
            raise PermissionError(13, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", kept)
    for number in range(BATCH):
        inbox.request(f"kept-{number}")
    (inbox.folder / "kept-bad.json").write_text("{}")
    good = [inbox.request(f"job-{number}") for number in range(3)]
    with capture_logs() as logs:
        inbox.start()
        wait_until(lambda: not any(path.exists() for path in good), timeout=20)
        threading.Event().wait(0.5)
        changed = inbox.folder / "kept-bad.json"
        changed.write_text("{ }")
        wait_until(lambda: len(dead_letters.list_newest(inbox.ledger.a, limit=10)) == 2, timeout=20)
        inbox.stop()
    assert len(inbox.woken) == BATCH + 3
    assert {job.duplicates for job in queries.list_jobs(inbox.ledger.a, limit=100)} == {0}
    assert len(dead_letters.list_newest(inbox.ledger.a, limit=10)) == 2
    assert sum(log["event"] == "inbox_file_not_deleted" for log in logs) == BATCH + 2
