"""kill -9 between an S3 event and the job that it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumer.doors.drop import drop
from consumer.failpoints import UPLOAD_FAILPOINTS
from consumer.ledger import dead_letters, uploads
from consumer.ledger.queries import list_jobs
from tests.chaos.evidence import check_finished_once
from tests.s3_messages import notified
from tests.telecine_process import TelecineProcess, wait_until

DOOR = ("door.received", "door.before_commit", "door.committed", "door.acknowledged")


@pytest.mark.parametrize("point", [*DOOR, *UPLOAD_FAILPOINTS])
def test_an_upload_is_one_job_wherever_the_process_was_killed(point: str, tmp_path: Path) -> None:
    marker, runs = tmp_path / "killed", tmp_path / "runs"
    rule = {"bucket": "inbox", "type": "note", "text": "{key}", "ledger_of_runs": str(runs)}
    with TelecineProcess(tmp_path / "home", notes=True, triggers=json.dumps([rule])) as telecine:
        uploaded = telecine.settings.storage_folder / "inbox" / "a b.txt"
        uploaded.parent.mkdir(parents=True)
        uploaded.write_text("x")
        telecine.start(env={"TELECINE_FAILPOINT": f"{point}:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        drop(telecine.settings.inbox_folder, json.dumps(notified("a b.txt")).encode())
        telecine.wait_for_death()
        assert marker.exists(), "the process died before it came to the failpoint"

        telecine.start()
        database = telecine.database()
        (found,) = wait_until(lambda: list_jobs(database), timeout=60)
        job = telecine.wait_for_job(found.id)
        wait_until(lambda: uploads.count(database) == 0)
        storage = telecine.settings.storage_folder / "results" / job.id
        check_finished_once(database, job, {path.name: path.read_bytes() for path in storage.iterdir()})
        assert len(runs.read_text().splitlines()) == 1
        assert len(list_jobs(database)) == 1
        assert dead_letters.list_newest(database, limit=10) == []
        database.close()
