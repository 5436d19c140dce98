"""kill -9 at every failpoint from request to callback, in embedded mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from consumer.doors.inbox import drop
from consumer.failpoints import FAILPOINTS
from consumer.ledger.queries import deliveries_of, timeline_of
from consumer.ledger.states import DeliveryState
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until


@pytest.mark.parametrize("point", FAILPOINTS)
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
        if point.startswith("advance.") and point != "advance.finished":
            assert job.crashes == 1
            assert "worker_lost" in [entry.event for entry in timeline_of(database, "j-1")]


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
