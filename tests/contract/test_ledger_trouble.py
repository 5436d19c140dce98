"""Doors and loops while the ledger, the broker or a concurrent process causes trouble."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import call_claims, completion, dead_letters, due, leases, outbox, queries
from consumer.ledger.database import Database, is_ledger_fault
from consumer.ledger.schema import migrate
from consumer.ledger.states import DeliveryState, State
from providers.http.policy import Policy
from tests.ledger_views import DATA, Ledger, count_jobs, delivery, renewed
from tests.servers.pgbouncer import PgBouncer

CHECKS = AdmissionPolicy(roles={"reel": "render"}, secret_names=frozenset(), policy=Policy(), max_message_bytes=262_144)


def reels(*ids: str) -> list[IncomingMessage]:
    """Return messages with valid requests."""
    return [IncomingMessage(json.dumps({"id": i, "type": "reel", "data": DATA}).encode(), "amqp", "q") for i in ids]


def test_doors_that_admit_the_same_ids_in_opposite_orders_do_not_wait_for_each_other(ledger: Ledger) -> None:
    together = threading.Barrier(2)
    rounds = [[f"r{number}-{i}" for i in range(60)] for number in range(5)]

    def door(database: Database, *, backwards: bool) -> int:
        admitted = 0
        for ids in rounds:
            together.wait(20)
            answers = BatchAdmitter(database, CHECKS)(reels(*(ids[::-1] if backwards else ids)))
            admitted += sum(answer.wake is not None for answer in answers)
        return admitted

    other = Database(ledger.b.url)
    with ThreadPoolExecutor(2) as pool:
        doors = [pool.submit(door, ledger.a, backwards=False), pool.submit(door, other, backwards=True)]
        assert sum(found.result(60) for found in doors) == 300
    other.close()


@pytest.mark.parametrize("source", ["a\x00b", "a\ud800b"])
def test_a_routing_key_that_no_database_can_store_does_not_block_other_messages(ledger: Ledger, source: str) -> None:
    answers = BatchAdmitter(ledger.a, CHECKS)([IncomingMessage(b"junk", "amqp", source), *reels("j")])
    assert [(answer.error is None, answer.wake is None) for answer in answers] == [(False, True), (True, False)]
    (letter,) = dead_letters.list_newest(ledger.b, limit=9)
    assert letter.source in ("a\N{REPLACEMENT CHARACTER}b", "a?b")


def test_a_single_message_that_cannot_be_admitted_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(database: object, connection: object, batch: Sequence[object]) -> Sequence[object]:
        if batch:
            raise UnicodeError
        return []

    monkeypatch.setattr("consumer.admission.batch.admit", break_down)
    (answer,) = BatchAdmitter(ledger.a, CHECKS)(reels("j"))
    assert answer.error is not None
    assert answer.error.code == "internal_error"


def test_a_read_only_ledger_is_a_ledger_fault_and_refuses_no_request(postgres_url: str) -> None:
    database = Database(postgres_url)
    migrate(database)
    with database.write() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {database.url.database} SET default_transaction_read_only = on"))
    database.close()
    with pytest.raises(sa.exc.InternalError) as caught:
        BatchAdmitter(database, CHECKS)(reels("j", "k"))
    assert is_ledger_fault(caught.value)
    assert queries.count_dead_letters(database) == {}
    database.close()


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_a_server_with_stricter_transactions_can_be_used(level: str, postgres_url: str) -> None:
    database = Database(postgres_url)
    migrate(database)
    with database.write() as connection:
        name = database.url.database
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'"))
    database.close()
    work_on_many_jobs_at_once(database)
    database.close()


def test_a_pooler_that_gives_each_transaction_another_connection_can_be_used_attack_11(postgres_url: str) -> None:
    """Jobs, calls and callbacks: a statement that psycopg had prepared would be missing, or exist already."""
    pooler = PgBouncer(postgres_url, connections=3)
    database = Database(pooler.url)
    try:
        migrate(database)
        work_on_many_jobs_at_once(database)
        for number in range(20):
            with database.write() as connection:
                outbox.enqueue(database, connection, delivery(None, number))
            assert call_claims.claim_due(database, owner="one", lease_seconds=60, most=9) == []
        claimed = [found for _ in range(20) for found in outbox.claim_due(database, limit=1, seconds=60)]
        assert len({found.id for found in claimed}) == 20
        assert database.listen() is None  # the outbox polls
    finally:
        database.close()
        pooler.close()


def work_on_many_jobs_at_once(database: Database) -> None:
    ledger = Ledger(database, database)
    ledger.admit(*({"id": f"j{number}"} for number in range(60)))

    def work(number: int) -> None:
        lease = ledger.claimed(f"j{number}")
        renewed(database, lease, seconds=60, progress=50)
        completion.begin_storing(database, lease)
        completion.finish(database, lease, State.COMPLETED, outcome={})

    def sweep(_: int) -> None:
        due.reset_wakeups(database)
        due.take_due(database, limit=500, again_seconds=1)

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, number) for number in range(60)] + [pool.submit(sweep, n) for n in range(20)]
        for future in futures:
            future.result(60)
    assert count_jobs(database) == {"completed": 60}


def test_an_error_of_the_ledger_does_not_contain_the_values(ledger: Ledger) -> None:
    with pytest.raises(sa.exc.SQLAlchemyError) as caught, ledger.a.write() as connection:
        connection.execute(sa.text("SELECT :given FROM nowhere"), {"given": "https://b/?X-Amz-Signature=secret"})
    assert "secret" not in str(caught.value)
    assert is_ledger_fault(caught.value)
    assert not is_ledger_fault(UnicodeError())


def test_a_claim_respects_its_limit_for_every_query_plan(ledger: Ledger) -> None:
    with ledger.a.write() as connection:
        for number in range(30):
            outbox.enqueue(ledger.a, connection, delivery(None, number))
    if ledger.a.dialect != "postgresql":
        assert len(outbox.claim_due(ledger.a, limit=3, seconds=60)) == 3
        return
    options = " ".join(f"-c enable_{name}=off" for name in ("hashagg", "hashjoin", "sort", "material", "mergejoin"))
    database = Database(ledger.a.url.update_query_dict({"options": options}))
    assert len(outbox.claim_due(database, limit=3, seconds=60)) == 3
    database.close()


def test_due_callbacks_are_listed_page_by_page_and_claimed_by_their_ids(ledger: Ledger) -> None:
    with ledger.a.write() as connection:
        for number in range(5):
            outbox.enqueue(ledger.a, connection, delivery(None, number))
    listed = outbox.list_due(ledger.a, limit=3)
    listed = [*listed, *outbox.list_due(ledger.a, limit=3, after=listed[-1])]
    assert sorted(due.id for due in listed) == sorted({due.id for due in outbox.list_due(ledger.b, limit=9)})
    assert len(listed) == 5
    assert outbox.list_due(ledger.a, limit=3, after=listed[-1]) == []
    chosen = [listed[4].id, listed[2].id]
    assert {d.id for d in outbox.claim_due(ledger.a, limit=9, seconds=60, ids=chosen)} == set(chosen)
    assert outbox.claim_due(ledger.b, limit=9, seconds=60, ids=chosen) == []
    assert len(outbox.list_due(ledger.b, limit=9)) == 3


def test_a_due_callback_says_whether_its_last_attempt_got_no_response(ledger: Ledger) -> None:
    answers = ["no complete reply within 20 seconds", "HTTP 500", None]
    with ledger.a.write() as connection:
        for number in range(3):
            outbox.enqueue(ledger.a, connection, delivery(None, number))
    claimed = outbox.claim_due(ledger.a, limit=9, seconds=0)
    for sent, answer in zip(claimed, answers, strict=True):
        if answer is not None:
            outbox.record_attempt(ledger.a, sent, DeliveryState.RETRYING, answer=answer, retry_in=0)
    unanswered = {due.id: due.unanswered for due in outbox.list_due(ledger.a, limit=9)}
    assert [unanswered[sent.id] for sent in claimed] == [True, False, False]


def test_a_wake_up_that_no_broker_accepted_is_repeated_soon(ledger: Ledger) -> None:
    ledger.admit({"id": "j"}, {"id": "held"})
    with ledger.a.write() as connection:
        connection.execute(sa.text("UPDATE jobs SET wake_at = 0"))
    taken = due.take_due(ledger.a, limit=9, again_seconds=60)
    lease = ledger.claimed("held")
    held = ledger.job("held").wake_at
    before = ledger.b.now()
    due.undo_wakeup(ledger.a, taken, again_seconds=5)
    assert before + 4.99 <= (ledger.job().wake_at or 0) <= ledger.b.now() + 5.01
    assert (ledger.job("held").wake_at, lease.epoch) == (held, 1)


def test_only_the_lease_that_was_read_is_released(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.admit({"id": "j"}, {"id": "k"})
    ledger.claimed("j")
    ledger.claimed("k")
    if ledger.a.dialect == "postgresql":  # SQLite has one writer at a time: no one can write in between

        def mine(owner: str) -> bool:
            with ledger.b.write() as connection:
                connection.execute(
                    sa.text("UPDATE jobs SET lease_owner = 'two', epoch = 2 WHERE id = 'j' AND epoch = 1")
                )
            return True

        assert leases.release_owned_by(ledger.a, mine) == ["k"]
        assert ledger.job("j").lease_owner == "two"
        assert "worker_stopped" not in ledger.events("j")
    else:
        assert leases.release_owned_by(ledger.a, lambda _: True) == ["j", "k"]
