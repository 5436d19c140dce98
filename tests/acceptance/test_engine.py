"""What operators and producers rely on while jobs run: cancel, deadline, priority, progress, shutdown, Celery."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consumer.doors.drop import drop
from consumer.ledger.queries import find_job, list_jobs, timeline_of
from consumer.ledger.records import Job
from consumer.ledger.states import State
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import ROOT, TelecineProcess, wait_until


@pytest.fixture
def telecine(tmp_path: Path) -> Any:
    with TelecineProcess(tmp_path / "home", notes=True, concurrency=1) as process:
        yield process


def put(telecine: TelecineProcess, job_id: str, **fields: Any) -> None:
    data = fields.pop("data", {"text": job_id})
    drop(telecine.settings.inbox_folder, json.dumps({"id": job_id, "type": "note", "data": data, **fields}).encode())


def running(telecine: TelecineProcess, job_id: str) -> None:
    database = telecine.database()
    wait_until(lambda: (job := find_job(database, job_id)) is not None and job.state is State.RUNNING)
    database.close()


def jobs(telecine: TelecineProcess) -> dict[str, Job]:
    """Return all jobs by id."""
    database = telecine.database()
    found = {job.id: job for job in list_jobs(database, limit=20)}
    database.close()
    return found


def test_a_running_job_is_cancelled_within_seconds_and_its_callback_has_status_cancelled(
    telecine: TelecineProcess,
) -> None:
    with Receiver() as receiver:
        put(telecine, "long", data={"seconds": 60}, callback={"url": receiver.url})
        telecine.start()
        running(telecine, "long")
        telecine.run("cancel", "long")
        assert telecine.wait_for_job("long", timeout=30).state is State.CANCELLED
        body = receiver.wait_for(1)[0].json()
        assert (body["type"], body["data"]["status"], body["data"]["error"]["code"]) == (
            "job.failed",
            "cancelled",
            "cancelled",
        )


def test_a_job_that_waits_behind_others_is_cancelled_by_a_message(telecine: TelecineProcess) -> None:
    put(telecine, "first", data={"seconds": 10})
    telecine.start()
    running(telecine, "first")
    put(telecine, "second")
    drop(telecine.settings.inbox_folder, json.dumps({"type": "job.cancel", "data": {"id": "second"}}).encode())
    assert telecine.wait_for_job("second").state is State.CANCELLED
    assert jobs(telecine)["first"].state is State.RUNNING  # the second job did not wait for it
    assert telecine.wait_for_job("first").state is State.COMPLETED


def test_a_deadline_ends_a_running_job_and_a_waiting_one(telecine: TelecineProcess) -> None:
    put(telecine, "running", data={"seconds": 60}, deadline=8)
    telecine.start()
    running(telecine, "running")
    put(telecine, "waiting", deadline=1.0)
    for job_id in ("running", "waiting"):
        job = telecine.wait_for_job(job_id, timeout=45)
        assert job.state is State.EXPIRED
        assert job.error is not None
        assert job.error["code"] == "deadline_exceeded"


def test_a_high_priority_job_overtakes_a_queue_of_low_ones(telecine: TelecineProcess) -> None:
    for number in range(12):
        put(telecine, f"low-{number}", data={"seconds": 0.4 if number else 4}, priority="low")
    telecine.start()
    running(telecine, "low-0")
    put(telecine, "urgent", priority="high")
    put(telecine, "urgent-too", priority="high")
    for job_id in ("urgent", "urgent-too"):
        started = telecine.wait_for_job(job_id).started_at
        assert started is not None
        found = jobs(telecine)
        low = [job.started_at or math.inf for job in found.values() if job.priority == "low"]
        # The worker may already have claimed one job before the urgent one arrived.
        assert sum(found[job_id].received_at < other < started for other in low) <= 1
        assert sum(other > started for other in low) >= 5


def test_started_and_progress_callbacks_are_sent_on_request_and_never_go_back(telecine: TelecineProcess) -> None:
    with Receiver() as receiver:
        events = ["started", "progress", "completed"]
        put(telecine, "watched", data={"seconds": 6}, callback={"url": receiver.url, "events": events})
        telecine.start()
        telecine.wait_for_job("watched")
        wait_until(lambda: any(a.json()["type"] == "job.completed" for a in receiver.attempts))
        wait_until(lambda: sum(a.json()["type"] == "job.progress" for a in receiver.attempts) >= 2)
        # Callbacks may be duplicated and reordered, so sort them by created_at.
        copies = {attempt.headers["webhook-id"]: attempt.json() for attempt in receiver.attempts}
        told = sorted(copies.values(), key=lambda item: item["timestamp"])
        assert [item["type"] for item in told].count("job.started") == 1
        percentages = [item["data"]["progress_percentage"] for item in told if item["type"] == "job.progress"]
        assert len(percentages) >= 2
        assert percentages == sorted(percentages)
        assert all(0 < value < 100 for value in percentages)


def test_sigterm_ends_the_process_cleanly_and_the_job_continues_at_the_next_start(telecine: TelecineProcess) -> None:
    runs = telecine.home / "runs"
    put(telecine, "long", data={"seconds": 6, "ledger_of_runs": str(runs)})
    telecine.start()
    running(telecine, "long")
    assert telecine.stop() == 0
    telecine.start()
    assert telecine.wait_for_job("long").state is State.COMPLETED
    assert len(runs.read_text().splitlines()) == 1


def test_a_job_that_outlasts_the_grace_period_is_released_without_a_crash_count(telecine: TelecineProcess) -> None:
    put(telecine, "longer", data={"seconds": 60})
    telecine.start()
    running(telecine, "longer")
    assert telecine.stop() == 0
    database = telecine.database()
    job = find_job(database, "longer")
    assert job is not None
    assert (job.state, job.crashes, job.lease_owner) == (State.WAITING, 0, None)
    assert "worker_stopped" in [entry.event for entry in timeline_of(database, "longer")]


def test_a_job_that_kills_every_worker_fails_instead_of_being_retried_without_end(tmp_path: Path) -> None:
    with TelecineProcess(tmp_path / "home", notes=True, max_crashes=2) as telecine:
        put(telecine, "poison")
        for _ in range(3):
            telecine.start(env={"TELECINE_FAILPOINT": "advance.step_started:kill"})
            telecine.wait_for_death()
        telecine.start(env={"TELECINE_FAILPOINT": "advance.step_started:kill"})
        job = telecine.wait_for_job("poison")
        assert job.error is not None
        assert (job.state, job.error["code"], job.crashes) == (State.FAILED, "worker_lost", 3)
        put(telecine, "other", data={"text": "x"})  # the worker is still alive to reach the next failpoint
        telecine.wait_for_death()


def test_a_plan_costs_nothing_and_is_sent_by_callback(telecine: TelecineProcess) -> None:
    with Receiver() as receiver:
        put(telecine, "plan", data={"seconds": 30}, plan_only=True, callback={"url": receiver.url})
        telecine.start()
        assert telecine.wait_for_job("plan").state is State.COMPLETED
        assert receiver.wait_for(1)[0].json()["data"]["plan"]["estimated_seconds"] == 30
        assert not (telecine.settings.storage_folder / "results").exists()


def test_the_ordinary_celery_worker_and_its_tools_work(rabbitmq: RabbitMQ, queue_prefix: str, tmp_path: Path) -> None:
    settings = {
        "broker_url": rabbitmq.url,
        "amqp_queues": f"{queue_prefix}requests",
        "storage": "folder",
        "inbox": tmp_path / "inbox",
        "callback_secrets": json.dumps({"default": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}),
    }
    with TelecineProcess(tmp_path / "home", notes=True, **settings) as telecine:
        telecine.start(arguments=("up", "--only", "doors,sweep,outbox"))
        command = [sys.executable, "-m", "celery", "-A", "consumer.app"]
        environment = {**telecine.inherited(), "C_FORCE_ROOT": "1"}
        named = [*command, "worker", "-c", "1", "-n", "plain@localhost"]
        worker = subprocess.Popen(named, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            put(telecine, "plain")
            assert telecine.wait_for_job("plain").state is State.COMPLETED
            # With a destination, ping returns as soon as the worker has replied instead of at its timeout.
            ping = subprocess.run(
                [*command, "inspect", "ping", "--json", "--destination", "plain@localhost", "--timeout", "30"],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                check=True,
            )
            assert b"pong" in ping.stdout
            events = [entry.event for entry in timeline_of(telecine.database(), "plain")]
            assert events[0] == "received"
        finally:
            worker.terminate()
            worker.wait(60)
