"""The sweep, with jobs that it cannot end and errors of the ledger."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consumer.execution import sweep as sweep_module
from consumer.execution.sweep import Sweep
from consumer.ledger import calls, leases
from consumer.ledger.call_request import CallSpec, Candidate
from consumer.ledger.claims import claim_next
from consumer.ledger.database import db_now
from consumer.ledger.due import Wake
from consumer.ledger.states import State
from consumer.ledger.tables import calls as calls_table, jobs
from consumer.runtime import Runtime
from consumer.wiring import build_runtime
from ops.views import iso
from schemas.settings import Settings
from tests.ledger_views import Ledger


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = build_runtime(Settings(home=tmp_path, sweep_seconds=0.02))
    yield made
    made.close()


def test_a_job_that_this_version_cannot_end_does_not_block_others(runtime: Runtime) -> None:
    ledger = Ledger(runtime.database, runtime.database)
    ledger.admit(*({"id": name, "deadline": 0.001} for name in ("a", "newer", "z")))
    order = CallSpec(
        candidates=[Candidate("m", "p", {})], inputs={}, output_folder="s3://results/x/", fingerprint="f", type="reel"
    )
    newer = json.dumps({**order.to_stored(), "from_a_newer_version": True})
    lease = ledger.claimed("newer")
    calls.enqueue_and_park(runtime.database, lease, "step", order, tenant=None, urgency=1)
    with runtime.database.write() as connection:
        connection.execute(sa.update(calls_table).values(request=newer))
    for name in ("a", "z"):
        leases.park(runtime.database, ledger.claimed(name), seconds=60, event="retry_later", failures=1)
    time.sleep(0.01)
    Sweep(runtime, lambda wakes: True).sweep()
    assert [ledger.job(name).state for name in ("a", "z")] == [State.EXPIRED, State.EXPIRED]
    assert ledger.job("newer").state is State.WAITING  # a sweep of the newer version can read its cost, and ends it


def test_a_sweep_puts_into_their_lines_what_the_version_before_left_outside(runtime: Runtime) -> None:
    database = runtime.database
    ledger = Ledger(database, database)
    ledger.admit(*({"id": f"old{number}"} for number in range(5)), {"id": "new"})
    ledger.admit({"id": "later", "not_before": iso(time.time() + 86_400)})
    with database.write() as connection:  # woken often: the next wake-up is in an hour
        old = sa.update(jobs).where(jobs.c.id.startswith("old"))
        connection.execute(old.values(line=None, wakes=12, wake_at=db_now() + 3600, received_at=1.0))
    Sweep(runtime, lambda wakes: True).sweep()
    claimed = claim_next(database, "new", owner="one", seconds=60, most=lambda _: 9)
    assert sorted(claim.job.id for claim in claimed) == ["new", *(f"old{number}" for number in range(5))]


def test_jobs_that_a_dead_transport_lost_are_woken_although_the_first_try_failed(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(runtime.database, runtime.database)
    ledger.admit({"id": "j"})
    with runtime.database.write() as connection:  # after so many wake-ups that the next one is due in an hour
        connection.execute(sa.update(jobs).values(wakes=12, wake_at=runtime.database.now() + 3600))
    fail_once(monkeypatch, "reset_wakeups", OSError("the disk is busy"))
    assert woken_by_a_running_sweep(runtime) == ["j"]


@pytest.mark.parametrize("failing", ["expire_dead_owners", "cancelled_or_expired", "take_due"])
def test_jobs_are_woken_as_soon_as_the_ledger_answers_again_attack_7(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers had no ledger either: what woke the jobs is lost, and their next wake-up is due in an hour."""
    runtime = build_runtime(Settings(home=tmp_path, broker_url="amqp://127.0.0.1:1//", sweep_seconds=0.02))
    ledger = Ledger(runtime.database, runtime.database)
    ledger.admit({"id": "j"})
    with runtime.database.write() as connection:
        connection.execute(sa.update(jobs).values(wakes=12, wake_at=db_now() + 3600))
    fail_once(monkeypatch, failing, sa.exc.OperationalError("", {}, OSError("server closed the connection")))
    assert woken_by_a_running_sweep(runtime) == ["j"]
    runtime.close()


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Let the first call of a function that the sweep imports raise."""
    act, errors = getattr(sweep_module, name), [error]

    def fail(*arguments: object, **named: object) -> object:
        if errors:
            raise errors.pop()
        return act(*arguments, **named)

    monkeypatch.setattr(sweep_module, name, fail)


def woken_by_a_running_sweep(runtime: Runtime) -> list[str]:
    woken: list[Wake] = []

    def wake(wakes: object) -> bool:
        woken.extend(wakes)  # type: ignore[arg-type]
        loop.stop()
        return True

    loop = Sweep(runtime, wake)
    timer = threading.Timer(10, loop.stop)
    timer.start()
    loop.run()
    timer.cancel()
    return [found.job_id for found in woken]
