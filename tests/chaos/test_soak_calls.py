"""Random SIGKILLs during paid calls: no job is lost, and no call is paid twice."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from consumer.ledger import call_resolution, calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job, list_jobs
from consumer.ledger.states import CallState, State
from tests.doubles.misbehaviour import Fault
from tests.ledger_views import count_jobs
from tests.provider_line import ProviderLine, check_settled
from tests.telecine_process import wait_until

KILLS = int(os.environ.get("TELECINE_SOAK_KILLS", "500"))


@pytest.mark.timeout(900)
def test_a_few_random_kills_lose_no_job_and_pay_no_call_twice(tmp_path: Path) -> None:
    soak(tmp_path, kills=15, seed=4)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_hundreds_of_random_kills_lose_no_job_and_pay_no_call_twice(tmp_path: Path) -> None:
    soak(tmp_path, kills=KILLS, seed=20261121)


def soak(folder: Path, *, kills: int, seed: int) -> None:
    """Kill Telecine ``kills`` times under load, resolve unknown outcomes as an operator, and check every job."""
    chance = random.Random(seed)
    generous = {"burst": 1000, "rate_per_minute": 60000, "concurrency": 1000, "breaker_failures": 1000}
    limits = json.dumps({"cococlip": generous, "replicate": generous})
    settings: dict[str, object] = {"max_crashes": 1000, "lease_seconds": 2, "concurrency": 2, "provider_limits": limits}
    with ProviderLine(folder / "home", None, **settings) as line:
        sent: list[str] = []
        for provider in (line.cococlip, line.replicate):
            # Slow enough that kills hit calls being sent and tasks in progress.
            provider.fault(Fault(act="slow", seconds=0.7, times=-1))
            provider.work_seconds = 0.5
        for _ in range(kills):
            line.telecine.start()
            until = time.monotonic() + chance.uniform(0.5, 3.0)
            while time.monotonic() < until:
                # Telecine takes a second to start; requests wait in the inbox.
                if len(sent) < 2 * kills and chance.random() < 0.1:
                    sent.append(f"{chance.choice(['film', 'prompt'])}-{len(sent)}")
                    line.film(sent[-1]) if sent[-1].startswith("film") else line.prompt(sent[-1])
                time.sleep(0.05)
            line.telecine.kill()
        line.telecine.start()
        database = line.telecine.database()
        decided = 0

        def all_ended() -> bool:
            nonlocal decided
            decided += decide(line, database)
            return count_jobs(database).get("completed") == len(sent)

        wait_until(all_ended, timeout=600, what=lambda: str(count_jobs(database)))

        jobs = list_jobs(database, limit=len(sent) + 1)
        assert {job.id for job in jobs} == set(sent)
        assert {job.state for job in jobs} == {State.COMPLETED}
        for job_id in sent:
            check_settled(database, job_id)
            (call,) = calls.of_job(database, job_id)
            paid = line.cococlip.charges(job_id) if call.provider == "cococlip" else line.replicate.charges(call.id)
            assert paid == 1, job_id
            made = "video.mp4" if call.provider == "cococlip" else "prompt.txt"
            assert {made, "manifest.json"} == set(line.objects(job_id))
        assert line.cococlip.charges() + line.replicate.charges() == len(sent)
        wait_until(lambda: {job_id for job_id, _ in callbacks_of(line)} == set(sent), timeout=120)
        assert len(callbacks_of(line)) == len(sent)
        met = sum(job.crashes for job in jobs)
        print(
            f"\n{len(sent)} jobs, {kills} kills, {met} crashes met by jobs, {decided} outcomes settled by hand: "
            "lost 0, paid twice 0"
        )
        database.close()


def callbacks_of(line: ProviderLine) -> set[tuple[str, str]]:
    """Return the job and ``webhook-id`` of every callback."""
    return {(a.json()["data"]["id"], a.headers["webhook-id"]) for a in line.receiver.attempts}


def decide(line: ProviderLine, database: Database) -> int:
    """Resolve unknown outcomes by Cococlip's list of tasks, as an operator would; return how many."""
    unknown = [call for call in unknown_calls(database) if call.provider == "cococlip"]
    for call in unknown:
        task = next((task.id for task in list(line.cococlip.tasks.values()) if task.ref == call.job_id), None)
        if task is None:
            call_resolution.resubmit(database, call, by="operator")
        else:
            call_resolution.adopt(database, call, task, by="operator", give_up_seconds=60)
    return len(unknown)


def unknown_calls(database: Database) -> list[CallRow]:
    """Return the calls with an unknown outcome."""
    waiting = [job.id for job in list_jobs(database, limit=10_000) if not job.terminal]
    assert all(find_job(database, job_id) for job_id in waiting)
    return [call for job_id in waiting for call in calls.of_job(database, job_id) if call.state is CallState.UNKNOWN]
