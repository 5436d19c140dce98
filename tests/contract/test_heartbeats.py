"""One thread and one statement renew all leases of a process; each attempt learns only of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.execution.heartbeat import Heartbeat
from consumer.ledger import completion, leases
from consumer.ledger.heartbeats import Heartbeats
from consumer.ledger.tables import jobs
from schemas.errors import JobCancelled, LeaseLost
from tests.ledger_views import Ledger

COUNT = 20


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition is true."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stopped_by(heartbeat: Heartbeat) -> type[Exception] | None:
    """Return the class of the error that stops the attempt."""
    try:
        heartbeat.check()
    except Exception as error:
        return type(error)
    return None


def beating() -> list[threading.Thread]:
    """Return the threads that renew leases."""
    return [thread for thread in threading.enumerate() if thread.name == "heartbeats"]


def test_one_statement_renews_all_leases_and_a_lost_one_stops_its_own_attempt_only(ledger: Ledger) -> None:
    until(lambda: not beating())
    ids = [f"j{number}" for number in range(COUNT)]
    ledger.admit(*({"id": name} for name in ids))
    held = [ledger.claimed(name, seconds=3) for name in ids]
    updates: list[str] = []

    def record(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE jobs") and "progress" in statement:
            updates.append(statement)

    sa.event.listen(ledger.a._normal, "before_cursor_execute", record)
    beats = Heartbeats(ledger.a, seconds=3)
    reported: list[int] = []
    try:
        with contextlib.ExitStack() as stack:
            hearts = [
                stack.enter_context(Heartbeat(beats, lease, on_progress=reported.append if not n else lambda _: None))
                for n, lease in enumerate(held)
            ]
            hearts[0].progress(42)
            completion.request_cancel(ledger.b, "j1", by="test")
            with ledger.b.write() as connection:  # another worker has it by now
                connection.execute(sa.update(jobs).where(jobs.c.id == "j2").values(epoch=9))
            until(lambda: stopped_by(hearts[1]) and stopped_by(hearts[2]))
            assert [stopped_by(heart) for heart in hearts[:3]] == [None, JobCancelled, LeaseLost]
            assert {stopped_by(heart) for heart in hearts[3:]} == {None}
            assert len(beating()) == 1
            assert 1 <= len(updates) <= 3  # one a beat, not one for each of the twenty
            time.sleep(3.2)  # longer than a lease
            with ledger.b.read() as connection:
                live = connection.execute(sa.select(jobs.c.id).where(sa.not_(leases.unleased()))).scalars().all()
        assert set(live) == {*ids} - {"j2"}
        assert (ledger.job("j0").progress, reported) == (42, [42])
    finally:
        sa.event.remove(ledger.a._normal, "before_cursor_execute", record)
    until(lambda: not beating())


def test_attempts_stop_when_the_ledger_is_away_for_longer_than_their_leases(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.admit({"id": "j"})
    beats = Heartbeats(ledger.a, seconds=0.6)

    def away(**_: Any) -> Any:
        raise OSError("the ledger is away")

    with Heartbeat(beats, ledger.claimed(seconds=0.6)) as heart:
        time.sleep(0.4)
        assert stopped_by(heart) is None
        monkeypatch.setattr(ledger.a, "write", away)
        until(lambda: stopped_by(heart) is LeaseLost)


def test_an_attempt_whose_heartbeat_cannot_start_takes_none_with_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: not beating())
    ledger.admit({"id": "j0"}, {"id": "j1"})
    beats = Heartbeats(ledger.a, seconds=3)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(threading.Thread, "start", refuse)
        Heartbeat(beats, ledger.claimed("j0", seconds=3)).__enter__()
    with Heartbeat(beats, ledger.claimed("j1", seconds=3)):
        assert len(beating()) == 1
    until(lambda: not beating())


def test_a_heartbeat_finds_its_leases_by_their_ids(ledger: Ledger) -> None:
    if ledger.a.dialect != "sqlite":
        return  # PostgreSQL uses its index for tuples
    ledger.admit({"id": "j0"}, {"id": "j1"})
    held = {ledger.claimed(name, seconds=3): 0 for name in ("j0", "j1")}
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("UPDATE jobs"):
            plans.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    sa.event.listen(ledger.a._normal, "before_cursor_execute", explain)
    try:
        leases.renew(ledger.a, held, seconds=3)
    finally:
        sa.event.remove(ledger.a._normal, "before_cursor_execute", explain)
    assert [plan for plan in plans if "SCAN jobs" in plan] == []
    assert any("SEARCH jobs" in plan for plan in plans)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_attempt_stops_if_the_thread_has_died_and_the_next_one_has_a_new_thread(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: not beating())
    ledger.admit({"id": "j0"}, {"id": "j1"})
    beats = Heartbeats(ledger.a, seconds=0.6)

    def die(*_: object) -> None:
        raise ValueError

    with Heartbeat(beats, ledger.claimed("j0", seconds=0.6)) as heart:
        with monkeypatch.context() as patch:
            patch.setattr(Heartbeat, "renewed", die)
            until(lambda: not beating())
        until(lambda: stopped_by(heart) is LeaseLost)
        with Heartbeat(beats, ledger.claimed("j1", seconds=0.6)):
            assert len(beating()) == 1
    until(lambda: not beating())
