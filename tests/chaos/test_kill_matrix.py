"""kill -9 at every failpoint from request to callback, in embedded mode."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from consumer.doors.drop import drop
from consumer.failpoints import FAILPOINTS, FLUSH_FAILPOINTS, GROUP_FAILPOINTS
from consumer.ledger.admission import Submission, admit, build_submission
from consumer.ledger.database import Database
from consumer.ledger.manifests import list_kept
from consumer.ledger.queries import deliveries_of, find_job, timeline_of
from consumer.ledger.states import DeliveryState
from consumer.ledger.tables import jobs
from schemas.envelope import Request
from schemas.parse import parse_mapping
from tests import note_pipeline
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until

assert note_pipeline  # importing it adds its job types


@pytest.mark.parametrize("point", [*FAILPOINTS, *FLUSH_FAILPOINTS])
def test_a_process_killed_at_any_point_finishes_the_job_once_after_its_restart(point: str, tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    with Receiver() as receiver, TelecineProcess(tmp_path / "home", notes=True) as telecine:
        Image.new("RGB", (8, 8)).save(_folder(telecine.settings.storage_folder / "inbox") / "dot.png")
        data = {"text": "once", "image": "s3://inbox/dot.png"}
        request = {"id": "j-1", "type": "note", "data": data, "callback": {"url": receiver.url}}
        telecine.start(env={"TELECINE_FAILPOINT": f"{point}:kill", "TELECINE_FAILPOINT_ONCE": str(marker)})
        drop(telecine.settings.inbox_folder, json.dumps(request).encode())
        telecine.wait_for_death()
        assert marker.exists(), "the process died before it came to the failpoint"

        telecine.start()
        job = telecine.wait_for_job("j-1")

        database = telecine.database()
        storage = telecine.settings.storage_folder / "results" / "j-1"
        check_finished_once(database, job, {path.name: path.read_bytes() for path in storage.iterdir()})
        secret = (telecine.home / "callback-secret").read_text().strip()
        check_callback_once(receiver, "j-1", secret)
        wait_until(lambda: deliveries_of(database, "j-1")[0].state is DeliveryState.DELIVERED)
        wait_until(lambda: not list(telecine.settings.inbox_folder.glob("*.json")))
        wait_until(lambda: not list(telecine.settings.scratch_folder.glob("job-*")))
        wait_until(lambda: not list_kept(database, limit=1))
        if point.startswith("advance.") and point != "advance.finished":
            assert job.crashes == 1
            assert "worker_lost" in [entry.event for entry in timeline_of(database, "j-1")]


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_a_process_killed_at_any_point_of_a_group_takes_no_neighbour_with_it(tmp_path: Path) -> None:
    """One process after the other is killed; each finishes what the one before left."""
    # Who is running when the process dies: the first of the group, or the second, which began as the first ended.
    points = {"group.claimed": 0, "advance.after_manifest": 0, "advance.before_finish": 0}
    points |= {"group.ended_one": 0, "advance.finished": 1, "group.begun": 1}
    assert set(GROUP_FAILPOINTS) <= set(points)
    armed, size = tmp_path / "armed", 6
    telecine = TelecineProcess(tmp_path / "home", extensions="tests.group_pipeline", concurrency=1)
    with Receiver() as receiver, telecine:
        folder = telecine.settings.inbox_folder
        for number, (point, running) in enumerate(points.items()):
            telecine.start(env={"TELECINE_FAILPOINT_FILE": str(armed)})
            # The first one shows how long they take: from then on they are claimed together.
            drop(folder, json.dumps(_noop(f"first-{number}", receiver)).encode())
            telecine.wait_for_job(f"first-{number}")
            armed.write_text(f"{point}:kill\n{tmp_path / point}")
            ids = [f"{number}-{place}" for place in range(size)]
            database = telecine.database()
            with database.write() as connection:  # in one commit, and for the next sweep
                admit(database, connection, [_submission(name, receiver) for name in ids])
                connection.execute(sa.update(jobs).where(jobs.c.id.in_(ids)).values(wake_at=0.0))
            telecine.wait_for_death()
            armed.unlink()
            before = [find_job(database, name) for name in ids]
            ended = sum(job is not None and job.terminal for job in before)
            telecine.start()
            after = [telecine.wait_for_job(name) for name in ids]
            crashes = sorted((job.crashes for job in after), reverse=True)
            assert crashes == [1, *[0] * (size - 1)], point
            assert ended == (1 if running != 0 else 0), point
            for job in after:
                stored = telecine.settings.storage_folder / "results" / job.id
                check_finished_once(database, job, {path.name: path.read_bytes() for path in stored.iterdir()})
                lost = [entry.event for entry in timeline_of(database, job.id)].count("worker_lost")
                assert lost == job.crashes
            for name in ids:
                wait_until(functools.partial(_sent, database, name))
            assert b"completed" in telecine.run("explain", ids[0]).stdout.lower()
            assert telecine.stop() == 0
        secret = (telecine.home / "callback-secret").read_text().strip()
        for number in range(len(points)):
            for place in range(size):
                check_callback_once(receiver, f"{number}-{place}", secret)


def _noop(job_id: str, receiver: Receiver) -> dict[str, Any]:
    return {"id": job_id, "type": "noop", "data": {}, "callback": {"url": receiver.url}}


def _submission(job_id: str, receiver: Receiver) -> Submission:
    request = parse_mapping(_noop(job_id, receiver))
    assert isinstance(request, Request)
    return build_submission(request, role="io", door="test")


def _sent(database: Database, job_id: str) -> bool:
    return deliveries_of(database, job_id)[0].state is DeliveryState.DELIVERED
