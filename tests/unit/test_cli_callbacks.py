"""``telecine callbacks``: list and replay."""

from __future__ import annotations

import pytest

from consumer.ledger.outbox import claim_due, record_attempt
from consumer.ledger.states import DeliveryState
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")

CALLBACK = {"url": "https://shop.example/hooks"}


def give_up(operator: Operator) -> str:
    """Exhaust the attempts of the next callback and return its id."""
    database = operator.database()
    [delivery] = claim_due(database, limit=1, seconds=60)
    record_attempt(database, delivery, DeliveryState.EXHAUSTED, answer="HTTP 500", retry_in=None)
    database.close()
    return delivery.id


def states(operator: Operator) -> dict[str, str]:
    return {item["job_id"]: item["state"] for item in operator.run("callbacks", "list", "--json").json}


def test_list_shows_state_attempts_and_last_response(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    give_up(operator)
    [item] = operator.run("callbacks", "list", "--state", "exhausted", "--json").json
    assert (item["job_id"], item["event"], item["attempts"]) == ("order-1", "job.completed", 1)
    assert item["last_answer"] == "HTTP 500"
    assert operator.run("callbacks", "list", "--state", "delivered", "--json").json == []
    assert "exhausted" in operator.run("callbacks", "list", "--job", "order-1").out


def test_replay_by_id_keeps_the_webhook_id(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    webhook_id = give_up(operator)
    result = operator.run("callbacks", "replay", webhook_id, "--json")
    assert result.json["callbacks_replayed"] == 1
    [item] = operator.run("callbacks", "list", "--json").json
    assert (item["webhook_id"], item["state"], item["attempts"]) == (webhook_id, "pending", 0)


def test_replay_of_a_state_sends_all_of_them(operator: Operator) -> None:
    for job_id in ("order-1", "order-2", "order-3"):
        operator.completed(job_id, callback=CALLBACK)
    give_up(operator)
    give_up(operator)
    assert operator.run("callbacks", "replay", "--state", "exhausted", "--json").json["callbacks_replayed"] == 2
    assert set(states(operator).values()) == {"pending"}


def test_replay_of_a_job_sends_its_callbacks(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    give_up(operator)
    result = operator.run("callbacks", "replay", "--job", "order-1")
    assert result.out == "1 callback queued for delivery again.\n"


def test_replay_of_an_unknown_id_is_an_error(operator: Operator) -> None:
    operator.completed("order-1", callback=CALLBACK)
    result = operator.run("callbacks", "replay", "msg_nothing")
    assert result.status == 1
    assert "unknown" in result.err


def test_replay_needs_a_selection(operator: Operator) -> None:
    assert operator.run("callbacks", "replay").status == 2
    assert operator.run("callbacks", "replay", "msg_x", "--state", "exhausted").status == 2
    assert operator.run("callbacks", "list", "--state", "lost").status == 2
