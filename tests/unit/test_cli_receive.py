"""``telecine receive`` and ``telecine callbacks test`` and ``show``: try callbacks out, and see what was sent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from consumer.callbacks.signing import generate_secret, sign
from consumer.ledger.outbox import claim_due, record_attempt
from consumer.ledger.states import DeliveryState
from ops.demo.receiver import CallbackReceiver, ReceivedCallback
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")

ROOT = Path(__file__).parents[2]
SECRET = generate_secret()


@pytest.fixture(autouse=True)
def _settings(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_CALLBACK_SECRETS", json.dumps({"default": [SECRET], "acme": [generate_secret()]}))
    monkeypatch.setenv("TELECINE_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")


@pytest.mark.parametrize(
    ("status", "verdict", "exit_status"),
    [(204, "delivered", 0), (200, "delivered", 0), (503, "retry", 1), (404, "retry", 1), (410, "disabled", 1)],
)
def test_a_test_callback_is_signed_and_judged_like_a_real_one(
    status: int, verdict: str, exit_status: int, operator: Operator
) -> None:
    received: list[ReceivedCallback] = []
    with CallbackReceiver(status=status, notify=received.append) as receiver:
        result = operator.run("callbacks", "test", receiver.url, "--json")
    assert (result.status, result.json["verdict"], result.json["status"]) == (exit_status, verdict, status)
    [callback] = received
    assert callback.fault([SecretStr(SECRET)]) is None
    body = json.loads(callback.body)
    assert (body["type"], body["data"]["id"], body["data"]["metadata"]["test"]) == (
        "job.completed",
        "telecine-test",
        True,
    )
    assert not operator.home.exists()  # it is not in the ledger


def test_a_test_callback_is_kept_from_forbidden_addresses(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_ALLOWED_PRIVATE_HOSTS", "")
    with CallbackReceiver() as receiver:
        result = operator.run("callbacks", "test", receiver.url)
        assert not receiver.wait(0)
    assert result.status == 1
    assert "disabled" in result.out
    assert "TELECINE_ALLOWED_PRIVATE_HOSTS" in result.out


def test_a_test_callback_can_use_another_secret_of_the_settings(operator: Operator) -> None:
    with CallbackReceiver() as receiver:
        assert operator.run("callbacks", "test", receiver.url, "--secret-name", "acme").status == 0
        assert not receiver.verify(SECRET)
        result = operator.run("callbacks", "test", receiver.url, "--secret-name", "other")
    assert (result.status, "available: acme, default" in result.err) == (1, True)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"webhook-signature": "v1,AAAA"}, "signed with another secret"),
        ({"webhook-signature": ""}, "not signed"),
        ({"webhook-id": "msg_other"}, "signed with another secret"),
        ({"webhook-timestamp": "yesterday"}, "malformed webhook-id or webhook-timestamp"),
        ({"webhook-id": "a.b"}, "malformed webhook-id or webhook-timestamp"),
    ],
)
def test_a_receiver_finds_what_is_wrong_with_a_signature(change: dict[str, str], fault: str | None) -> None:
    headers = sign("msg_1", int(time.time()), b"{}", [SecretStr(SECRET)])
    assert ReceivedCallback(headers | change, b"{}").fault([SecretStr(SECRET)]) == fault


def test_a_recorded_callback_is_too_old() -> None:
    headers = sign("msg_1", int(time.time()) - 3600, b"{}", [SecretStr(SECRET)])
    assert ReceivedCallback(headers, b"{}").fault([SecretStr(SECRET)]) == "signed too long ago"


@pytest.fixture
def receiving(operator: Operator) -> Iterator[Any]:
    """Return a running ``telecine receive --json`` and its URL."""
    command = [sys.executable, "-P", "-m", "ops.cli.main", "receive", "--port", "0", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stderr is not None
        yield process, process.stderr.readline().split()[2]
        process.kill()


def test_receive_prints_and_verifies_each_callback_until_ctrl_c(operator: Operator, receiving: Any) -> None:
    process, url = receiving
    assert operator.run("callbacks", "test", url).status == 0
    assert operator.run("callbacks", "test", url, "--secret-name", "acme").status == 0
    first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    assert (first["verified"], first["duplicate"], first["body"]["data"]["id"]) == (True, False, "telecine-test")
    assert second["verified"]  # any secret of the settings
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_show_has_the_body_that_was_sent_and_every_answer_friction_low(operator: Operator) -> None:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks?key=hidden"})
    database = operator.database()
    [delivery] = claim_due(database, limit=1, seconds=60)
    record_attempt(database, delivery, DeliveryState.RETRYING, answer="HTTP 503", retry_in=0)
    [delivery] = claim_due(database, limit=1, seconds=60)
    record_attempt(database, delivery, DeliveryState.EXHAUSTED, answer="no answer", retry_in=None)
    database.close()
    shown = operator.run("callbacks", "show", delivery.id)
    assert "HTTP 503" in shown.out
    assert "no answer" in shown.out
    assert "hidden" not in shown.out
    found = operator.run("callbacks", "show", delivery.id, "--json").json
    assert found["body"]["data"]["id"] == "order-1"
    assert [one["event"] for one in found["timeline"]] == ["callback_queued", "callback_retrying", "callback_exhausted"]
    assert operator.run("callbacks", "show", delivery.id, "--raw").out.encode() == delivery.body
    assert operator.run("callbacks", "show", "msg_none").status == 1


def test_the_list_of_callbacks_has_their_age_friction_low(operator: Operator) -> None:
    operator.completed("order-1", callback={"url": "https://shop.example/hooks"})
    head, row = operator.run("callbacks", "list").out.splitlines()
    assert "WHEN" in head
    assert " s ago" in row
