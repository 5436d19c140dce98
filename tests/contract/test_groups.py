"""Short jobs that a worker claims together: each keeps its own order, story, lease and crash count."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer import app as consumer_app
from consumer.execution import group
from consumer.execution.durable import advance
from consumer.ledger import completion, due, leases, queries
from consumer.ledger.claims import claim_next
from consumer.ledger.owner import this_process
from consumer.ledger.states import State
from consumer.ledger.tables import jobs
from consumer.runtime import Runtime
from consumer.wakeups.send import SHARED_BY, WakeUps
from consumer.wiring import build_runtime
from pipelines.registry import PIPELINES
from schemas.errors import LeaseLost
from schemas.settings import Settings
from tests import note_pipeline
from tests.ledger_views import Ledger

assert note_pipeline  # importing it adds its job types


@pytest.fixture
def runtime(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setattr(group, "SLOW_SECONDS", 20.0)  # however busy this machine is
    url = ledger.a.url.render_as_string(hide_password=False)
    made = build_runtime(Settings(home=tmp_path, ledger_url=url, lease_seconds=60), pipelines=PIPELINES)
    yield made
    made.close()


def admit(ledger: Ledger, count: int, **more: Any) -> list[str]:
    """Admit jobs that do nothing, one after the other; return their ids."""
    ids = [f"j{number:02}" for number in range(count)]
    for name in ids:
        ledger.admit({"id": name, "type": "noop", "data": {}, **more})
    return ids


def claimed_together(ledger: Ledger, most: int = 50) -> list[leases.Claim]:
    """Claim as a worker does."""
    return claim_next(ledger.a, "j00", owner="one", seconds=60, most=lambda _: most)


def test_the_first_jobs_of_the_line_are_claimed_together_up_to_one_of_another_type(ledger: Ledger) -> None:
    ids = admit(ledger, 5)
    ledger.admit({"id": "other", "type": "note", "data": {}})
    with ledger.a.write() as connection:
        connection.execute(sa.update(jobs).values(role="io"))
        connection.execute(sa.update(jobs).where(jobs.c.id == "other").values(received_at=0.0))
        connection.execute(sa.update(jobs).where(jobs.c.id == "j01").values(received_at=-1.0))
        connection.execute(sa.update(jobs).where(jobs.c.id == "j00").values(received_at=-2.0))
    assert [claim.job.id for claim in claimed_together(ledger)] == ["j00", "j01"]
    assert [claim.job.id for claim in claimed_together(ledger, 1)] == ["other"]
    assert [claim.job.id for claim in claimed_together(ledger, 2)] == ["j02", "j03"]
    states = [ledger.job(name).state for name in ids]
    assert states == [State.RUNNING, State.RECEIVED, State.RUNNING, State.RECEIVED, State.RECEIVED]
    assert leases.claim(ledger.b, "j01", owner="two", seconds=60) is None
    assert [claim.job.id for claim in claimed_together(ledger)] == ["j04"]
    assert claimed_together(ledger) == []


def test_a_crash_counts_for_the_job_that_was_running_and_not_for_its_neighbours(ledger: Ledger) -> None:
    ids = admit(ledger, 4)
    first, second, *_ = claimed_together(ledger)
    with ledger.a.write() as connection:
        begun = leases.begin(connection, second, seconds=60)
    assert (begun.job.state, begun.lease) == (State.RUNNING, second.lease)
    with ledger.a.write() as connection:  # the worker is killed, and its leases expire
        connection.execute(sa.update(jobs).where(jobs.c.id == first.job.id).values(state="completed", wake_at=None))
        connection.execute(sa.update(jobs).values(lease_until=0.0))
    again = [leases.claim(ledger.b, name, owner="two", seconds=60) for name in ids[1:]]
    assert [claim and claim.job.crashes for claim in again] == [1, 0, 0]
    assert ledger.events(ids[1]) == ["received", "claimed", "worker_lost", "claimed"]
    assert ledger.events(ids[2]) == ["received", "claimed"]
    with pytest.raises(LeaseLost), ledger.a.write() as connection:
        leases.begin(connection, second, seconds=60)


def test_an_orderly_stop_releases_begun_and_waiting_jobs_and_counts_no_crash(ledger: Ledger) -> None:
    ids = admit(ledger, 3)
    claimed_together(ledger)
    assert leases.release_owned_by(ledger.b, lambda owner: owner == "one") == ids
    assert [ledger.job(name).state for name in ids] == [State.WAITING, State.RECEIVED, State.RECEIVED]
    again = claimed_together(ledger)
    assert [claim.job.id for claim in again] == ids
    assert [claim.job.crashes for claim in again] == [0, 0, 0]
    assert ledger.events(ids[0]) == ["received", "claimed", "worker_stopped", "claimed"]
    assert ledger.events(ids[1]) == ["received"]


def pace_of(seconds: float) -> group.Pace:
    """Return the pace of a process in which jobs that do nothing took so long."""
    pace = group.Pace()
    pace.took("noop", seconds)
    return pace


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 50), (0.001, 50), (0.01, 25), (0.1, 2), (0.2, 1), (60.0, 1)])
def test_as_many_jobs_are_claimed_together_as_take_a_quarter_of_a_second(seconds: float, most: int) -> None:
    pace = pace_of(seconds)
    assert pace.most(PIPELINES, "noop") == most
    gpu = dataclasses.replace(PIPELINES["noop"], role="gpu")
    assert pace.most({"noop": gpu}, "noop") == 1
    pace.took("note", 0.0)
    assert pace.most(PIPELINES, "note") == 1  # it does not say that it is short
    assert group.Pace().most(PIPELINES, "noop") == 1  # not measured yet


def test_a_group_ends_each_job_with_its_own_story_in_two_durable_commits(ledger: Ledger, runtime: Runtime) -> None:
    ids = admit(ledger, 20, callback={"url": "http://127.0.0.1:1/"})
    durable: list[int] = []
    sa.event.listen(runtime.database._full, "commit", lambda _: durable.append(1))
    claims = claim_next(
        runtime.database,
        "j00",
        owner=this_process(),
        seconds=60,
        most=lambda name: pace_of(0.001).most(PIPELINES, name),
    )
    group.run_all(runtime, claims, pace_of(0.001))
    for name in ids:
        job = ledger.job(name)
        assert (job.state, job.crashes, job.epoch, job.lease_owner) == (State.COMPLETED, 0, 1, None)
        assert ledger.events(name) == ["received", "claimed", "storing", "completed", "callback_queued"]
        assert [found.event for found in queries.deliveries_of(ledger.b, name)] == ["job.completed"]
        assert (runtime.settings.storage_folder / "results" / name / "manifest.json").exists()
    starts = [ledger.job(name).started_at or 0 for name in ids]
    assert all(later > before - 0.01 for before, later in itertools.pairwise(starts))
    assert len(set(starts)) == 20
    if ledger.a.dialect == "sqlite":
        assert len(durable) == 2


def test_a_slow_job_in_a_group_keeps_no_neighbour_waiting(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = admit(ledger, 4)
    monkeypatch.setattr(group, "SLOW_SECONDS", 0.2)
    slow, hold = threading.Event(), threading.Event()

    def work(data: Any, ctx: Any) -> list[Any]:
        if not slow.is_set():
            slow.set()
            assert hold.wait(20)
        return []

    pipelines = {**PIPELINES, "noop": dataclasses.replace(PIPELINES["noop"], run=work)}
    held = dataclasses.replace(runtime, pipelines=pipelines)
    claims = claim_next(held.database, "j00", owner=this_process(), seconds=60, most=lambda _: 9)
    worker = threading.Thread(target=group.run_all, args=(held, claims, group.Pace()))
    worker.start()
    try:
        assert slow.wait(20)
        end = time.monotonic() + 20
        others: list[Any] = []
        while len(others) < 3:  # another worker
            assert time.monotonic() < end
            others += [name for name in ids[1:] if name not in others and advance(held, name) is State.COMPLETED]
        assert ledger.job(ids[0]).state is State.RUNNING
    finally:
        hold.set()
        worker.join()
    assert [ledger.job(name).state for name in ids] == [State.COMPLETED] * 4
    assert [ledger.job(name).crashes for name in ids] == [0] * 4
    assert ledger.events(ids[3]) == ["received", "claimed", "storing", "completed"]


def test_a_job_of_a_group_that_fails_ends_alone(ledger: Ledger, runtime: Runtime) -> None:
    ids = admit(ledger, 3)
    runs: list[int] = []

    def work(data: Any, ctx: Any) -> list[Any]:
        runs.append(1)
        if len(runs) == 2:
            raise ValueError
        return []

    pipelines = {**PIPELINES, "noop": dataclasses.replace(PIPELINES["noop"], run=work)}
    parts = dataclasses.replace(runtime, pipelines=pipelines)
    group.run_all(
        parts, claim_next(parts.database, "j00", owner=this_process(), seconds=60, most=lambda _: 9), group.Pace()
    )
    assert [ledger.job(name).state for name in ids] == [State.COMPLETED, State.WAITING, State.COMPLETED]


@pytest.fixture
def sent(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make the worker of this process use the ledger, and yield the jobs whose wake-ups it sends again."""
    found: list[str] = []
    consumer_app.use_runtime(runtime)
    monkeypatch.setattr(consumer_app, "_send_again", found.append)
    monkeypatch.setattr(consumer_app, "_pace", group.Pace())
    yield found
    consumer_app._runtimes.clear()


def completed(ledger: Ledger, ids: list[str]) -> int:
    """Return how many of the jobs are completed."""
    return sum(ledger.job(name).state is State.COMPLETED for name in ids)


@pytest.mark.parametrize("seconds", [60.0, 0.0], ids=["until none is due", "until its time is up"])
def test_one_wake_up_runs_short_jobs(
    seconds: float, ledger: Ledger, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = admit(ledger, 12)
    monkeypatch.setattr(consumer_app, "_DRAIN_SECONDS", seconds)
    consumer_app.advance("j05")
    assert completed(ledger, ids) == (12 if seconds else 1)
    assert sent == ([] if seconds else ["j05"])


def test_one_wake_up_runs_one_job_that_is_not_short(
    ledger: Ledger, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = admit(ledger, 3)
    pipelines = {**PIPELINES, "noop": dataclasses.replace(PIPELINES["noop"], short=False)}
    consumer_app.use_runtime(dataclasses.replace(consumer_app.runtime(), pipelines=pipelines))
    consumer_app.advance("j00")
    assert (completed(ledger, ids), sent) == (1, [])


def test_ten_short_jobs_share_a_wake_up_and_every_other_job_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Broker:
        """A Celery application that records what it sends."""

        conf = type("Conf", (), {"broker_url": "memory://"})
        producer_pool = type("Pool", (), {"acquire": lambda *_, **__: threading.Lock()})()

        def send_task(self, name: str, args: tuple[str], **_: Any) -> None:
            names.append(args[0])

    wakes = [due.Wake(f"s{number}", "io", "normal", "noop") for number in range(2 * SHARED_BY + 1)]
    wakes += [due.Wake("h", "io", "high", "noop"), due.Wake("n", "io", "normal", "note"), due.Wake("u", "io", "normal")]
    assert WakeUps(Broker())(wakes)  # type: ignore[arg-type]
    assert names == ["s0", f"s{SHARED_BY}", f"s{2 * SHARED_BY}", "h", "n", "u"]


def test_a_job_that_was_cancelled_while_it_waited_in_a_group_does_not_run(ledger: Ledger, runtime: Runtime) -> None:
    ids = admit(ledger, 2)
    claims = claimed_together(ledger)
    completion.request_cancel(ledger.b, "j01", by="test")
    group.run_all(runtime, claims, group.Pace())
    assert [ledger.job(name).state for name in ids] == [State.COMPLETED, State.CANCELLED]


def test_a_job_whose_beginning_the_ledger_refused_is_handed_back_with_the_others(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = admit(ledger, 3)
    claims = claimed_together(ledger)

    def away(*_: Any, **__: Any) -> Any:
        raise OSError("the connection is gone")

    monkeypatch.setattr(group, "begin", away)
    woken: list[due.Wake] = []
    with pytest.raises(OSError, match="gone"):
        group.run_all(runtime, claims, group.Pace(), woken.extend)
    assert woken == [due.Wake(name, "render", "normal", "noop") for name in ids[1:]]
    assert [(ledger.job(name).state, ledger.job(name).lease_owner) for name in ids[1:]] == [(State.RECEIVED, None)] * 2


def test_the_last_end_of_a_group_is_durable_also_if_the_others_were_handed_back(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(ledger, 3)
    claims = claimed_together(ledger)
    written: list[bool] = []
    write = runtime.database.write

    def record(*, durable: bool = False) -> Any:
        written.append(durable)
        return write(durable=durable)

    def refuse(*_: Any, **__: Any) -> Any:
        raise LeaseLost

    monkeypatch.setattr(group, "begin", refuse)
    monkeypatch.setattr(runtime.database, "write", record)
    group.run_all(runtime, claims, group.Pace())
    assert ledger.job("j00").state is State.COMPLETED
    assert True in written
