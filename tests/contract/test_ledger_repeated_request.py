"""A request that is repeated after its job was deleted: a new job with callbacks of its own."""

from __future__ import annotations

from consumer.callbacks.bodies import job_delivery
from consumer.ledger import completion, deletion, leases, outbox, queries
from consumer.ledger.states import DeliveryState, State
from schemas.errors import RenderFailed
from tests.ledger_views import Ledger

REQUEST = {"id": "j", "callback": {"url": "https://a.example/"}}


def failed_callback(ledger: Ledger) -> outbox.NewDelivery:
    """Admit the job, fail it and deliver its callback; return the callback."""
    ledger.admit(REQUEST)
    claim = leases.claim(ledger.a, "j", owner="one", seconds=60)
    assert claim is not None
    error = RenderFailed()
    new, copy = (job_delivery(claim.job, "failed", status="failed", now=claim.now(), error=error) for _ in range(2))
    assert new is not None
    assert copy is not None
    assert new.id == copy.id  # the same each time it is written
    completion.finish(ledger.a, claim.lease, State.FAILED, error=error, delivery=new)
    (sent,) = outbox.claim_due(ledger.a, limit=9, seconds=60)
    outbox.record_attempt(ledger.a, sent, DeliveryState.DELIVERED, answer="HTTP 200", retry_in=None)
    return new


def test_the_callback_of_a_deleted_and_repeated_request_has_a_new_id(ledger: Ledger) -> None:
    first = failed_callback(ledger)
    assert deletion.delete_job(ledger.a, "j")
    assert queries.deliveries_of(ledger.b, "j") == []
    second = failed_callback(ledger)
    assert first.body != second.body
    assert first.id != second.id
