"""Minutes of random kills, then a check of every job and callback. Run by `make chaos`."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.drop import drop
from consumer.ledger.queries import list_jobs, timeline_of
from consumer.ledger.states import State
from tests.ledger_views import count_jobs
from tests.receiver import Receiver
from tests.telecine_process import TelecineProcess, wait_until

SECONDS = float(os.environ.get("TELECINE_SOAK_SECONDS", "180"))
JOBS = 300


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_minutes_of_random_kills_every_job_ended_once_with_one_callback_id(tmp_path: Path) -> None:
    chance = random.Random(20261121)
    # Half of them are short jobs, which workers claim in groups.
    settings: dict[str, Any] = {
        "max_crashes": 1000,
        "lease_seconds": 2,
        "concurrency": 4,
        "extensions": "tests.group_pipeline",
    }
    with Receiver() as receiver, TelecineProcess(tmp_path / "home", **settings) as telecine:
        inbox = telecine.settings.inbox_folder
        sent: list[str] = []
        kills = 0
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            telecine.start()
            # Some kills hit the start, most hit running jobs.
            until = time.monotonic() + chance.uniform(0.5, 6.0)
            while time.monotonic() < until:
                for _ in range(chance.choice([1, 1, 20])):
                    if len(sent) == JOBS:
                        break
                    job_id = f"job-{len(sent)}"
                    data = {"text": job_id, "seconds": chance.choice([0, 0.1, 0.5])}
                    kind = "note" if len(sent) % 2 else "noop"
                    body = json.dumps({"id": job_id, "type": kind, "data": data, "callback": {"url": receiver.url}})
                    for _ in range(chance.choice([1, 1, 1, 2, 3])):
                        drop(inbox, body.encode())
                    sent.append(job_id)
                time.sleep(0.05)
            telecine.kill()
            kills += 1
        telecine.start()
        database = telecine.database()
        wait_until(
            lambda: count_jobs(database).get("completed") == len(sent),
            timeout=300,
            what=lambda: str(count_jobs(database)),
        )

        jobs = list_jobs(database, limit=JOBS + 1)
        assert {job.id for job in jobs} == set(sent)
        assert {job.state for job in jobs} == {State.COMPLETED}
        for job in jobs:
            assert Counter(entry.event for entry in timeline_of(database, job.id))["completed"] == 1
            folder = telecine.settings.storage_folder / "results" / job.id
            if job.type == "noop":
                assert {path.name for path in folder.iterdir()} == {"manifest.json"}
                continue
            assert {path.name for path in folder.iterdir()} == {"note.txt", "manifest.json"}
            assert (folder / "note.txt").read_text() == job.id
        wait_until(lambda: {a.json()["data"]["id"] for a in receiver.attempts} == set(sent), timeout=120)
        ids: dict[str, set[str]] = {}
        for attempt in receiver.attempts:
            ids.setdefault(attempt.json()["data"]["id"], set()).add(attempt.headers["webhook-id"])
        assert all(len(values) == 1 for values in ids.values())
        met = sum(job.crashes for job in jobs)
        print(f"\n{len(sent)} jobs, {kills} kills, {met} crashes met by jobs: lost 0, doubled 0")
