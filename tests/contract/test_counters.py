"""The counters of the ledger: each event is counted once, also with several writers and after a kill."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import completion, retries
from consumer.ledger.counters import Counters, add_up, read_counters
from consumer.ledger.database import Database, db_now
from consumer.ledger.deletion import delete_job
from consumer.ledger.states import DeliveryState, State
from consumer.ledger.tables import calls, counter_log, counters, deliveries, jobs, rejections, timeline
from schemas.errors import InvalidImage
from tests.cli_operator import REEL
from tests.ledger_views import Ledger

_SECONDS = 1.5
REQUEST = json.dumps({"id": "j", "type": "reel", "data": REEL})
_FORK = multiprocessing.get_context("fork")


def insert_job(connection: sa.Connection, job_id: str, **more: Any) -> None:
    now = db_now()
    row = {"received_at": now, "started_at": now, "not_before": now, "wake_at": now, "fingerprint": "f", "door": "d"}
    row |= {
        "id": job_id,
        "type": "reel",
        "state": "running",
        "role": "render",
        "priority": "normal",
        "request": REQUEST,
    }
    connection.execute(sa.insert(jobs).values(**row | {"cancel_requested": False} | more))


def end_jobs(url: str, name: str) -> None:
    """End jobs and retry some of them, as workers and operators do, in transactions of very different lengths."""
    database = Database(url)
    for number in itertools.count():
        job_id = f"{name}-{number}"
        with database.write() as connection:
            insert_job(connection, job_id)
        completion.finish_unleased(database, job_id, State.FAILED, InvalidImage(), None)
        if number % 3 == 0:
            retries.retry(database, job_id, by="test")
        if number % 5 == 0 and database.dialect == "postgresql":
            with database.write() as connection:  # its row of the log is older than others that are committed before
                insert_job(connection, f"{job_id}-slow")
                ended = {"state": "completed", "finished_at": db_now(), "wake_at": None}
                connection.execute(sa.update(jobs).where(jobs.c.id == f"{job_id}-slow").values(ended))
                connection.execute(sa.insert(timeline).values(job_id=f"{job_id}-slow", at=0.0, event="completed"))
                time.sleep(0.05)


def add_up_often(url: str, name: str) -> None:
    database = Database(url)
    while True:
        add_up(database, limit=5)


def _run(target: Callable[[str, str], None], url: str, name: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        target(url, name)


@contextlib.contextmanager
def processes(url: str) -> Iterator[Callable[[], None]]:
    """Run three writers and two that add up, and yield a function that kills one of them and starts another."""
    names = itertools.count()

    def start(target: Callable[[str, str], None]) -> Any:
        process = _FORK.Process(target=_run, args=(target, url, f"p{next(names)}"), daemon=True)
        process.start()
        return process

    wanted = [end_jobs, add_up_often, end_jobs, add_up_often, end_jobs]
    running = [start(target) for target in wanted]

    def kill_one() -> None:
        target, victim = wanted.pop(0), running.pop(0)
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        wanted.append(target)
        running.append(start(target))

    try:
        yield kill_one
    finally:
        for process in running:
            process.kill()
            process.join()


def ended(found: Counters) -> dict[str, int]:
    sums: dict[str, int] = {}
    for (name, labels), number in found.items():
        if name == "jobs_ended":
            sums[labels[1]] = sums.get(labels[1], 0) + number
    return sums


def test_every_end_is_counted_once_while_processes_are_killed(ledger: Ledger) -> None:
    """The truth is the timeline, which is written in the transaction that ends a job."""
    if ledger.b is not ledger.a:
        return  # several processes share the ledger in any case
    database = ledger.a
    before: Counters = {}
    url = database.url.render_as_string(hide_password=False)
    database.close()  # before the fork
    looks = 0
    with processes(url) as kill_one:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            now = read_counters(database)
            fallen = {key: (value, now.get(key, 0)) for key, value in before.items() if now.get(key, 0) < value}
            assert not fallen
            before, looks = now, looks + 1
            if looks % 4 == 0:
                kill_one()
            time.sleep(0.02)
    with database.read() as connection:
        query = sa.select(timeline.c.event, sa.func.count()).where(timeline.c.event.in_([s.value for s in State]))
        truth: dict[str, int] = {row[0]: row[1] for row in connection.execute(query.group_by(timeline.c.event))}
        retried = connection.execute(sa.select(sa.func.count()).where(timeline.c.event == "retried")).scalar_one()
        number_of_jobs = connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()
    assert truth["failed"] > 5
    while add_up(database):
        pass
    found = read_counters(database)
    assert ended(found) == truth
    assert found["jobs_received", ("reel",)] == number_of_jobs + retried
    assert found["jobs_ended", ("reel", "failed", "invalid_image", "")] == truth["failed"]
    in_buckets = sum(number for (name, labels), number in found.items() if name == "job_run_bucket")
    assert in_buckets == sum(truth.values())


def test_counters_keep_what_is_deleted(ledger: Ledger) -> None:
    with ledger.a.write() as connection:
        insert_job(connection, "j", tenant="acme", received_at=db_now() - 9.0, started_at=db_now() - 7.0)
    completion.finish_unleased(ledger.a, "j", State.FAILED, InvalidImage(), None)
    before = read_counters(ledger.a, {"acme"})
    assert before["jobs_ended", ("reel", "failed", "invalid_image", "acme")] == 1
    assert before["job_wait_bucket", ("reel", "4")] == 1  # up to 2.5 s
    assert before["job_run_micros", ("reel", "failed")] == pytest.approx(7e6, rel=0.1)
    assert delete_job(ledger.a, "j")
    assert read_counters(ledger.a, {"acme"}) == before
    assert add_up(ledger.a, {"acme"}) == 1
    after = {key: value for key, value in read_counters(ledger.a).items() if value}
    assert after == {key: value for key, value in before.items() if value}
    with ledger.a.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(counter_log)).scalar_one() == 0


def test_callbacks_calls_and_dead_letters_are_counted_as_the_version_before_writes_them(ledger: Ledger) -> None:
    """Triggers count, so that nothing is missing while processes of the version before still run."""
    call = {"job_id": "j", "step": "s", "attempt": 1, "provider": "pika", "model": "m", "request": "{}", "queued_at": 1}
    with ledger.a.write() as connection:
        connection.execute(
            sa.insert(deliveries).values(
                id="d", job_id="j", event="job.completed", url="u", body=b"", state="pending", created_at=db_now() - 2
            )
        )
        tried = sa.update(deliveries).values(state="retrying", attempts=deliveries.c.attempts + 1)
        connection.execute(tried)
        sent = {"state": DeliveryState.DELIVERED.value, "attempts": 2, "delivered_at": db_now()}
        connection.execute(sa.update(deliveries).values(sent))
        for key, spent in (("a", 450_000), ("b", 100_000)):
            connection.execute(sa.insert(calls).values(id=key, state="working", submitted_at=db_now() - 40, **call))
            over = {"state": "done", "finished_at": db_now(), "spent": spent, "failures": 1}
            connection.execute(sa.update(calls).where(calls.c.id == key).values(over))
        rejection = {"at": 1.0, "door": "inbox", "source": "inbox", "message": "m", "body": b"", "headers": "{}"}
        connection.execute(sa.insert(rejections).values(code="invalid_json", **rejection))
    expected = {
        ("callback_attempts", ("retrying",)): 1,
        ("callback_attempts", ("delivered",)): 1,
        ("callback_delivery_bucket", ("4",)): 1,
        ("calls_ended", ("pika", "m", "done")): 2,
        ("call_failures", ("pika", "m")): 2,
        ("call_bucket", ("pika", "8")): 2,
        ("spent", ("pika", "m", "")): 550_000,
        ("dead_letters", ("invalid_json",)): 1,
    }
    found = read_counters(ledger.a)
    assert {key: found[key] for key in expected} == expected
    add_up(ledger.a)
    found = read_counters(ledger.a)
    assert {key: found[key] for key in expected} == expected
    with ledger.a.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(counters)).scalar_one() >= len(expected)


def test_a_row_that_is_added_up_during_a_scrape_is_in_it(ledger: Ledger) -> None:
    """Each of the two tables is read at another moment; if a row was in neither of them, a counter would fall."""
    with ledger.a.write() as connection:
        insert_job(connection, "j")
    completion.finish_unleased(ledger.a, "j", State.FAILED, InvalidImage(), None)
    reading = Database(ledger.a.url)

    def add_up_meanwhile(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM counters" in statement:
            add_up(ledger.a)

    sa.event.listen(sa.Engine, "after_cursor_execute", add_up_meanwhile)
    try:
        assert ended(read_counters(reading)) == {"failed": 1}
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", add_up_meanwhile)
        reading.close()
    assert add_up(ledger.a) == 0


@pytest.mark.parametrize(
    ("outcome", "size"),
    [('{"outputs": [{"bytes": 3000000000}, {"bytes": 7}]}', 3_000_000_007), ('{"plan": {}}', 0), ("NaN, not JSON", 0)],
)
def test_a_job_ends_whatever_its_outcome_looks_like(ledger: Ledger, outcome: str, size: int) -> None:
    with ledger.a.write() as connection:
        insert_job(connection, "j")
        over = {"state": "completed", "finished_at": db_now(), "outcome": outcome}
        connection.execute(sa.update(jobs).values(over))
    found = read_counters(ledger.a)
    assert (found["result_bytes", ("reel",)], ended(found)) == (size, {"completed": 1})
