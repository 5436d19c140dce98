"""A worker whose ledger or disk fails: its job ends once, with one callback."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.execution import outcome
from consumer.execution.durable import advance
from consumer.ledger import completion, queries
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.states import State
from consumer.ledger.tables import jobs
from consumer.runtime import Runtime
from consumer.storage import scratch
from consumer.wiring import admission_policy, build_runtime
from pipelines.registry import PIPELINES
from schemas.errors import InputUnavailable, JobCancelled, StorageUnavailable
from schemas.settings import Settings
from tests import note_pipeline
from tests.ledger_views import Ledger

assert note_pipeline  # importing it adds its job types


@pytest.fixture
def runtime(ledger: Ledger, tmp_path: Path) -> Iterator[Runtime]:
    url = ledger.a.url.render_as_string(hide_password=False)
    settings = Settings(
        home=tmp_path, ledger_url=url, lease_seconds=1.0, retry_seconds=0.01, allowed_private_hosts=["127.0.0.1"]
    )
    made = build_runtime(settings, pipelines=PIPELINES)
    body = {
        "id": "j",
        "type": "note",
        "data": {"text": "x"},
        "callback": {"url": "http://127.0.0.1:1/", "events": ["started", "completed", "failed"]},
    }
    BatchAdmitter(made.database, admission_policy(made))([IncomingMessage(json.dumps(body).encode(), "test", "q")])
    yield made
    made.close()


def break_a_commit(database: Database, monkeypatch: pytest.MonkeyPatch, function: str, *, made: bool) -> list[str]:
    """Make the first commit of ``function`` raise, after it was made or, without ``made``, rolled back.

    Return a list that contains ``function`` from then on.
    """
    broken: list[str] = []
    for engine in {database._normal, database._full}:
        commit = engine.dialect.do_commit

        def break_down(connection: Any, commit: Any = commit) -> None:
            now = not broken and function in [frame.name for frame in traceback.extract_stack()]
            if made or not now:
                commit(connection)
            else:
                connection.rollback()
            if now:
                broken.append(function)
                raise sa.exc.OperationalError("COMMIT", {}, OSError("the connection broke"))

        monkeypatch.setattr(engine.dialect, "do_commit", break_down)
    return broken


def ended(runtime: Runtime, seconds: float = 20.0) -> Job:
    """Advance the job, as wake-ups do, until it has ended; return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(sa.exc.OperationalError):  # a worker fails like this, and Celery continues
            advance(runtime, "j")
        job = queries.find_job(runtime.database, "j")
        assert job is not None
        if job.terminal:
            return job
        time.sleep(0.02)
    raise AssertionError(job)


@pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])
@pytest.mark.parametrize("function", ["claim", "notify", "begin", "record", "begin_storing", "finish"])
def test_an_unconfirmed_commit_neither_loses_a_job_nor_ends_it_twice(
    function: str, made: bool, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = break_a_commit(runtime.database, monkeypatch, function, made=made)
    assert ended(runtime).state is State.COMPLETED
    assert broken == [function]
    assert [entry.event for entry in queries.timeline_of(runtime.database, "j")].count("completed") == 1
    sent = sorted(delivery.event for delivery in queries.deliveries_of(runtime.database, "j"))
    assert sent == ["job.completed", "job.started"]


OUTAGES = {
    "disk full": OSError(errno.ENOSPC, "No space left on device"),
    "disk read-only": OSError(errno.EROFS, "Read-only file system"),
    "disk broken": OSError(errno.EIO, "Input/output error"),
    "ledger": sa.exc.OperationalError("SELECT", {}, OSError("the connection broke")),
    "storage": StorageUnavailable("the storage is away", outage=True),
    "input": InputUnavailable("the storage of the input is away", outage=True),
}


def _fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path) -> Any:
        raise error

    monkeypatch.setattr(scratch, "job_folder", fail)


@pytest.mark.parametrize("fault", OUTAGES)
def test_an_outage_uses_up_no_retries_attack_12_friction_M15(
    fault: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as outage:
        _fail_with(OUTAGES[fault], outage)
        end = time.monotonic() + 30
        while (job := queries.find_job(runtime.database, "j")) is None or job.epoch < runtime.settings.max_failures + 2:
            assert time.monotonic() < end
            advance(runtime, "j")
            time.sleep(0.005)
        assert (job.state, job.failures) == (State.WAITING, 0)
        waits = [entry for entry in queries.timeline_of(runtime.database, "j") if entry.event == "retry_later"]
        assert ("disk" in waits[-1].detail["message"]) is fault.startswith("disk")
    assert ended(runtime).state is State.COMPLETED


def test_an_outage_ends_a_job_at_its_deadline_attack_12(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(OUTAGES["disk full"], monkeypatch)
    advance(runtime, "j")
    with runtime.database.write() as connection:
        connection.execute(sa.update(jobs).values(deadline_at=1.0))
    assert ended(runtime).state is State.EXPIRED


def test_a_fault_of_one_object_uses_up_the_retries_attack_12(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(StorageUnavailable("the object appeared and disappeared"), monkeypatch)
    job = ended(runtime)
    assert job.error is not None
    assert (job.state, job.failures, job.error["code"]) == (State.FAILED, 7, "retries_exhausted")
    assert "appeared and disappeared" in job.error["message"]
    assert "report" not in job.error["message"]


def test_a_stopped_worker_sends_no_callback_of_a_job_that_has_ended_meanwhile(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = outcome.check_runnable

    def stopped(*arguments: Any) -> None:
        check(*arguments)
        with runtime.database.write() as connection:  # its lease expires in the meantime
            connection.execute(sa.update(jobs).values(lease_until=0.0))
        assert completion.finish_unleased(runtime.database, "j", State.CANCELLED, JobCancelled(), None)

    monkeypatch.setattr(outcome, "check_runnable", stopped)
    assert advance(runtime, "j") is State.RUNNING
    assert queries.deliveries_of(runtime.database, "j") == []


def test_the_backoff_of_a_job_stays_at_its_cap_after_weeks(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(root: Path) -> Any:
        raise OSError(errno.EINVAL, "a fault that is not foreseen")

    monkeypatch.setattr(scratch, "job_folder", full)
    patient = runtime.settings.model_copy(update={"max_failures": 5000})
    with runtime.database.write() as connection:
        connection.execute(sa.update(jobs).values(failures=2000))
    assert advance(dataclasses.replace(runtime, settings=patient), "j") is State.WAITING
    job = queries.find_job(runtime.database, "j")
    assert job is not None
    assert 890 < job.not_before - runtime.database.now() <= 900
