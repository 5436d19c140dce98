"""The guarantees of the ledger hold for any interleaving of producers, workers, sweeps and operators.

Tests do not sleep: the rules advance a clock that replaces the database's, in the one function with which every
statement reads the time. A second view is a second worker on the same file.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.compiler import compiles

from consumer.ledger import completion, database as databases, due, leases, outbox, queries, steps
from consumer.ledger.admission import AdmissionOutcome, admit, build_submission
from consumer.ledger.database import Database, db_now
from consumer.ledger.records import Job, Lease
from consumer.ledger.schema import migrate
from consumer.ledger.states import OPEN, TERMINAL, TRANSITIONS, State
from consumer.ledger.tables import jobs, metadata, schema_info
from schemas.envelope import Request
from schemas.errors import DeadlineExceeded, JobCancelled, LeaseLost, RenderFailed
from schemas.parse import parse_request
from tests.ledger_views import renewed

IDS = st.sampled_from(["a", "b", "c"])
LEASE_SECONDS = 10.0
DATA = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "La", "alignment_mode": "even"}
#: The state of a job after each event of the timeline.
LEADS_TO = {
    "received": State.RECEIVED,
    "claimed": State.RUNNING,
    "parked": State.WAITING,
    "storing": State.STORING,
    **{state.value: state for state in TERMINAL},
}
CALLBACK = "https://shop.example/hook"


class Clock:
    """The time that the ledger sees."""

    now = 1_000_000.0


@pytest.fixture(scope="module")
def clock() -> Iterator[None]:
    """Replace SQLite's clock by ``Clock``."""
    compiles(db_now, "sqlite")(lambda element, compiler, **options: "test_clock()")
    yield
    compiles(db_now, "sqlite")(databases._now_sqlite)


def opened(path: Path) -> Database:
    """Return a view of the ledger that reads the time from ``Clock``."""
    database = Database(f"sqlite:///{path}")

    def connect(raw: Any, record: Any) -> None:
        raw.create_function("test_clock", 0, lambda: Clock.now)
        raw.execute("PRAGMA synchronous=OFF")  # the test simulates no power failures

    for engine in {database._normal, database._full}:
        sa.event.listen(engine, "connect", connect)
    return database


def reel(job_id: str, **changes: Any) -> Request:
    """Return a request with a callback."""
    value = {"id": job_id, "type": "reel", "data": DATA, "callback": {"url": CALLBACK}} | changes
    request = parse_request(json.dumps(value).encode())
    assert isinstance(request, Request)
    return request


def end_callback(lease_or_job: Lease | Job, state: State) -> outbox.NewDelivery:
    """Return the callback about the end of a job, with an id derived from the job's, as in the product."""
    job_id = lease_or_job.job_id if isinstance(lease_or_job, Lease) else lease_or_job.id
    return outbox.NewDelivery(
        id=outbox.webhook_id(job_id, state),
        job_id=job_id,
        event=f"job.{state}",
        url=CALLBACK,
        secret_name=None,
        body=b"{}",
    )


class LedgerMachine(RuleBasedStateMachine):
    """Producers, workers that die, sweeps and operators, in any order."""

    template: Path

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "ledger.sqlite3")
        self.views = [opened(self.folder / "ledger.sqlite3") for _ in range(2)]
        #: All leases ever granted: a late worker may still try to use an old one.
        self.leases: list[Lease] = []
        self.last: dict[str, Job] = {}
        self.steps_done: dict[str, int] = {}

    def teardown(self) -> None:
        for view in getattr(self, "views", []):
            view.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pick(self, number: int) -> Lease:
        """Return one of the leases, old or new."""
        return self.leases[number % len(self.leases)]

    def holds(self, lease: Lease) -> bool:
        """Return whether the ledger should accept writes under this lease."""
        job = self.last[lease.job_id]
        return (job.epoch, job.lease_owner) == (lease.epoch, lease.owner)

    @rule(job_id=IDS, copies=st.integers(1, 3), other=st.booleans(), hurry=st.booleans())
    def a_request_arrives(self, job_id: str, copies: int, other: bool, hurry: bool) -> None:
        changes: dict[str, Any] = ({"priority": "low"} if other else {}) | ({"deadline": 25} if hurry else {})
        batch = [build_submission(reel(job_id, **changes), role="render", door="test")] * copies
        with self.views[0].write(durable=True) as connection:
            answers = [answer.outcome for answer in admit(self.views[0], connection, batch)]
        known = self.last.get(job_id)
        if known is None:
            assert answers == [AdmissionOutcome.ADMITTED] + [AdmissionOutcome.DUPLICATE] * (copies - 1)
        else:
            same = known.fingerprint == batch[0].fingerprint
            assert answers == [AdmissionOutcome.DUPLICATE if same else AdmissionOutcome.CONFLICT] * copies

    @rule(seconds=st.sampled_from([0.5, 4.0, LEASE_SECONDS + 0.1, 40.0]))
    def time_passes(self, seconds: float) -> None:
        Clock.now += seconds

    @rule(job_id=IDS, view=st.integers(0, 1), worker=st.sampled_from(["w1", "w2"]))
    def a_worker_claims(self, job_id: str, view: int, worker: str) -> None:
        before = self.last.get(job_id)
        claim = leases.claim(self.views[view], job_id, owner=worker, seconds=LEASE_SECONDS)
        free = before is not None and before.state in OPEN and (before.lease_until or -math.inf) <= Clock.now
        assert (claim is not None) == (free and before is not None and before.not_before <= Clock.now)
        if claim is not None and before is not None:
            assert claim.job.crashes == before.crashes + (before.lease_owner is not None)
            self.leases.append(claim.lease)

    @precondition(lambda self: self.leases)
    @rule(
        number=st.integers(0, 99),
        view=st.integers(0, 1),
        act=st.sampled_from(["renew", "park", "store", "complete", "fail", "begin", "record"]),
    )
    def a_worker_writes(self, number: int, view: int, act: str) -> None:
        lease, database = self.pick(-1 if number % 2 else number), self.views[view]
        state = self.last[lease.job_id].state
        may = (
            self.holds(lease)
            and (act != "complete" or state is State.STORING)
            and (act != "store" or State.STORING in TRANSITIONS[state])
        )
        try:
            self.write(database, lease, act)
        except LeaseLost:
            assert not may
        else:
            assert may

    def write(self, database: Database, lease: Lease, act: str) -> None:
        """Write once under the lease."""
        if act == "renew":
            renewed(database, lease, seconds=LEASE_SECONDS, progress=int(Clock.now) % 99)
        elif act == "park":
            leases.park(database, lease, seconds=3, event="parked", failures=1)
        elif act == "store":
            completion.begin_storing(database, lease)
        elif act == "complete":
            completion.finish(
                database, lease, State.COMPLETED, outcome={}, delivery=end_callback(lease, State.COMPLETED)
            )
        elif act == "fail":
            completion.finish(
                database, lease, State.FAILED, error=RenderFailed(), delivery=end_callback(lease, State.FAILED)
            )
        elif act == "begin":
            known = lease.job_id in self.steps_done
            found = steps.begin(database, lease, "render")
            assert (found.state == "done") == known
        elif steps.begin(database, lease, "render").state != "done":
            steps.record(database, lease, "render", [lease.epoch])
            self.steps_done[lease.job_id] = lease.epoch

    @rule(job_id=IDS)
    def an_operator_cancels(self, job_id: str) -> None:
        if job_id in self.last:
            completion.request_cancel(self.views[0], job_id, by="test")

    @rule()
    def the_sweep_runs(self) -> None:
        for job in due.cancelled_or_expired(self.views[1], limit=9):
            state = State.CANCELLED if job.cancel_requested else State.EXPIRED
            error = JobCancelled() if job.cancel_requested else DeadlineExceeded()
            assert completion.finish_unleased(self.views[1], job.id, state, error, end_callback(job, state))
        for wake in due.take_due(self.views[1], limit=9, again_seconds=2):
            assert self.last[wake.job_id].state in OPEN

    @rule()
    def a_transport_loses_its_messages(self) -> None:
        due.reset_wakeups(self.views[0])

    @invariant()
    def guarantees_hold(self) -> None:
        if not hasattr(self, "views"):
            return
        with self.views[1].read() as connection:
            ids = list(connection.execute(sa.select(jobs.c.id)).scalars())
        for job_id in ids:
            job = queries.find_job(self.views[1], job_id)
            assert job is not None
            self.check(job, self.last.get(job_id))
            self.last[job_id] = job
        assert set(self.last) == set(ids)

    def check(self, job: Job, before: Job | None) -> None:
        """Check a job, also against its state before the last rule."""
        story = queries.timeline_of(self.views[1], job.id)
        events = [entry.event for entry in story]
        epochs = [entry.epoch for entry in story if entry.event == "claimed"]
        assert epochs == sorted({epoch for epoch in epochs if epoch is not None}), (
            "a lease number is never granted twice"
        )
        assert [LEADS_TO[event] for event in events if event in LEADS_TO][-1] is job.state
        ends = [event for event in events if event in LEADS_TO and LEADS_TO[event] in TERMINAL]
        sent = queries.deliveries_of(self.views[1], job.id)
        assert len(ends) == len(sent) == events.count("callback_queued") == int(job.terminal)
        assert (job.wake_at is None) == (job.finished_at is not None) == job.terminal
        assert (job.lease_owner is None) == (job.lease_until is None)
        assert (job.lease_owner is not None) == (job.state in (State.RUNNING, State.STORING))
        assert job.crashes == events.count("worker_lost")
        assert job.duplicates == events.count("duplicate")
        found = {step.name: step for step in steps.of_job(self.views[1], job.id)}
        if job.id in self.steps_done:
            assert found["render"].result == [self.steps_done[job.id]], "a finished step is never repeated"
        if before is None:
            return
        assert job.epoch >= before.epoch
        assert job.progress >= before.progress
        if before.state is not job.state:
            assert job.state in TRANSITIONS[before.state]
        if before.terminal:
            assert (job.state, job.epoch, job.outcome, job.error) == (
                before.state,
                before.epoch,
                before.outcome,
                before.error,
            )


@pytest.mark.usefixtures("clock")
def test_any_interleaving_keeps_the_guarantees(tmp_path: Path) -> None:
    LedgerMachine.template = tmp_path / "template.sqlite3"
    database = opened(LedgerMachine.template)
    migrate(database)
    with database.write() as connection:
        assert not any(
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for table in metadata.tables.values()
            if table is not schema_info
        )
    database.close()
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=False,
        ),
    )
