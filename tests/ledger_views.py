"""A ledger for its conformance tests, with two connections and access to all rows."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consumer.ledger import completion, leases, outbox, queries, steps
from consumer.ledger.admission import Admission, admit, build_submission
from consumer.ledger.claims import claim_next
from consumer.ledger.database import Database
from consumer.ledger.records import Job, Lease
from consumer.ledger.schema import migrate
from consumer.ledger.states import State
from consumer.ledger.tables import metadata
from schemas.envelope import Request
from schemas.errors import LeaseLost, RenderFailed
from schemas.parse import parse_request

DATA = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "La", "alignment_mode": "even"}


def count_jobs(database: Database) -> dict[str, int]:
    """Return the number of jobs in each state."""
    numbers: dict[str, int] = {}
    for (_, state), number in queries.count_jobs_by_type(database).items():
        numbers[state] = numbers.get(state, 0) + number
    return numbers


@dataclass(frozen=True)
class Ledger:
    """A ledger with two connections: what ``a`` writes, ``b`` can read, and the other way round."""

    a: Database
    b: Database

    def admit(self, *values: dict[str, Any]) -> list[Admission]:
        """Admit reels in one transaction."""
        requests = [parse_request(json.dumps({"type": "reel", "data": DATA} | value).encode()) for value in values]
        with self.a.write(durable=True) as connection:
            batch = [build_submission(r, role="render", door="test") for r in requests if isinstance(r, Request)]
            return admit(self.a, connection, batch)

    def job(self, job_id: str = "j") -> Job:
        """Return the job, read through ``b``."""
        found = queries.find_job(self.b, job_id)
        assert found is not None
        return found

    def claimed(self, job_id: str = "j", *, seconds: float = 60.0, owner: str = "one") -> Lease:
        """Claim the job and return its lease; with negative ``seconds`` the lease has already expired."""
        claim = leases.claim(self.a, job_id, owner=owner, seconds=seconds)
        assert claim is not None
        return claim.lease

    def ended(self, state: State, job_id: str = "j", **how: Any) -> Lease:
        """Admit a job and end it in ``state``; return the lease that it had."""
        self.admit({"id": job_id})
        lease = self.claimed(job_id)
        completion.begin_storing(self.a, lease)
        completion.finish(self.a, lease, state, **how)
        return lease

    def events(self, job_id: str = "j") -> list[str]:
        """Return the event names of the job's timeline."""
        return [entry.event for entry in queries.timeline_of(self.b, job_id)]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of all tables, except the counters, which the sweep adds up."""
        with self.b.read() as connection:
            return {
                t.name: [tuple(row) for row in connection.execute(sa.select(t).order_by(*t.primary_key.columns))]
                for t in metadata.sorted_tables
                if not t.name.startswith("counter")
            }

    def run(self, code: str) -> subprocess.Popen[str]:
        """Start another process that runs ``code`` with the ledger as ``database``."""
        opening = "import sys; from consumer.ledger.database import Database; database = Database(sys.argv[1])\n"
        url = self.a.url.render_as_string(hide_password=False)
        return subprocess.Popen([sys.executable, "-c", opening + code, url], stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def opened(url: str) -> Iterator[Ledger]:
    """Yield a new ledger, with one connection for both views."""
    database = Database(url)
    migrate(database)
    yield Ledger(database, database)
    database.close()


def delivery(job_id: str | None = "j", number: int = 1) -> outbox.NewDelivery:
    """Return a callback for the outbox."""
    return outbox.NewDelivery(
        id=f"msg_{number}", job_id=job_id, event="job.completed", url="https://a.example/", secret_name=None, body=b"{}"
    )


def renewed(database: Database, lease: Lease, *, seconds: float, progress: int) -> leases.HeartbeatResult:
    """Renew one lease, as a heartbeat does.

    Raises:
        LeaseLost: it is not held.
    """
    results = leases.renew(database, {lease: progress}, seconds=seconds)
    if lease not in results:
        raise LeaseLost
    return results[lease]


def next_job(database: Database, woken: str) -> str | None:
    """Claim the job that a wake-up for ``woken`` runs, release it and return its id."""
    claims = claim_next(database, woken, owner="one", seconds=60)
    leases.release_owned_by(database, lambda owner: owner == "one")
    return claims[0].job.id if claims else None


Write = Callable[[Database, Lease], object]
#: All writes that require a lease.
WRITES: dict[str, Write] = {
    "renew": lambda db, lease: renewed(db, lease, seconds=60, progress=99),
    "park": lambda db, lease: leases.park(db, lease, seconds=0, event="retry_later", failures=1),
    "store": completion.begin_storing,
    "complete": lambda db, lease: completion.finish(db, lease, State.COMPLETED, outcome={}, delivery=delivery()),
    "fail": lambda db, lease: completion.finish(db, lease, State.FAILED, error=RenderFailed(), delivery=delivery()),
    "begin a step": lambda db, lease: steps.begin(db, lease, "render"),
    "record a step": lambda db, lease: steps.record(db, lease, "render", []),
}
