"""A process that is stopped, or whose machine sleeps, in the middle of a write to the ledger."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from consumer.ledger import leases, queries
from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from consumer.ledger.states import State
from tests.ledger_views import Ledger

STOPPED = """
import consumer.ledger.database
consumer.ledger.database.IDLE_SECONDS = 1
import signal
import sqlalchemy as sa
from consumer.ledger import leases
from consumer.ledger.tables import jobs

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
claim = leases.claim(database, "j", owner="one", seconds=0.5)
try:
    with database.write() as connection:
        leases.assert_held(connection, claim.lease)
        print("held", flush=True)
        signal.sigwait({signal.SIGUSR1})
        connection.execute(sa.update(jobs).values(state="failed"))
except sa.exc.DBAPIError as error:
    print(type(error).__name__, database.now() > 0, flush=True)
"""


@pytest.fixture
def shared(postgres_url: str) -> Iterator[Ledger]:
    database = Database(postgres_url)
    migrate(database)
    yield Ledger(database, database)
    database.close()


def test_a_job_whose_row_a_suspended_worker_holds_is_taken_over_and_the_worker_cannot_write(shared: Ledger) -> None:
    shared.admit({"id": "j"})
    with shared.run(STOPPED) as worker, ThreadPoolExecutor(1) as pool:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "held\n"
            worker.send_signal(signal.SIGSTOP)
            time.sleep(0.6)
            taken = pool.submit(leases.claim, shared.a, "j", owner="two", seconds=60)
            assert taken.result(20) is not None
            worker.send_signal(signal.SIGUSR1)
            worker.send_signal(signal.SIGCONT)
            printed, _ = worker.communicate(timeout=60)
        finally:
            worker.kill()
    assert printed in ("OperationalError True\n", "InternalError True\n")
    job = queries.find_job(shared.a, "j")
    assert job is not None
    assert (job.state, job.lease_owner, job.epoch) == (State.RUNNING, "two", 2)
