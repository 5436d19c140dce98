"""The outbox with slow receivers, and without a signing secret."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from consumer.callbacks import alarm, slow_receivers
from consumer.callbacks.outbox_loop import OutboxLoop
from consumer.callbacks.signing import generate_secret
from consumer.ledger import announcements, outbox
from consumer.ledger.admission import admit, build_submission
from consumer.ledger.browsing import list_deliveries
from consumer.ledger.states import DeliveryState
from consumer.runtime import Runtime
from consumer.wiring import build_runtime
from schemas.envelope import Cancel, Request
from schemas.errors import ConfigurationError
from schemas.settings import Settings
from tests.receiver import Answer, Receiver
from tests.telecine_process import wait_until

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@contextmanager
def running(home: Path, **settings: object) -> Iterator[Runtime]:
    """Run an outbox."""
    found = Settings(home=home, allowed_private_hosts=["127.0.0.1"], **settings)  # type: ignore[arg-type]
    runtime = build_runtime(found)
    loop = OutboxLoop(runtime)
    thread = threading.Thread(target=loop.run, name="outbox")
    thread.start()
    try:
        yield runtime
    finally:
        loop.stop()
        thread.join(60)
        runtime.close()


def promise(runtime: Runtime, number: int, url: str, job_id: str | None = None) -> None:
    """Enqueue a callback in the outbox."""
    with runtime.database.write() as connection:
        new = outbox.NewDelivery(
            id=f"msg_{number}", job_id=job_id, event="job.failed", url=url, secret_name=None, body=b"{}"
        )
        outbox.enqueue(runtime.database, connection, new)


@pytest.mark.parametrize("places", [1, 2])
def test_a_slow_receiver_does_not_delay_the_callbacks_of_others(
    places: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_receivers, "SLOW_SECONDS", 0.2)
    with (
        Receiver([Answer(delay_seconds=0.5)]) as slow,
        Receiver() as quick,
        running(tmp_path, callback_concurrency=places, outbox_poll_seconds=0.02) as runtime,
    ):
        promise(runtime, 1, slow.url)
        slow.wait_for(1)
        promise(runtime, 2, quick.url)
        quick.wait_for(1, timeout=10)
        promise(runtime, 3, slow.url)
        slow.wait_for(2, timeout=10)


def test_a_callback_that_is_not_announced_is_sent_at_the_next_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "announce", lambda engine: None)
    with Receiver() as receiver, running(tmp_path, outbox_poll_seconds=0.5) as runtime:
        promise(runtime, 1, receiver.url)
        receiver.wait_for(1, timeout=20)


def test_notifications_of_other_machines_end_the_wait_also_after_a_lost_connection(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "announce", lambda engine: None)
    monkeypatch.setattr(alarm, "RECONNECT_SECONDS", 0.5)
    listeners = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    with Receiver() as receiver, running(tmp_path, outbox_poll_seconds=3600, ledger_url=postgres_url) as runtime:

        def ask(statement: str) -> int:
            with runtime.database.write() as connection:
                return connection.execute(sa.text(statement)).rowcount

        for number in range(2):
            wait_until(lambda: ask(f"SELECT pid {listeners}") == 1)
            promise(runtime, number, receiver.url)
            ask(f"NOTIFY {announcements.CHANNEL}")
            receiver.wait_for(2 * number + 1, timeout=20)
            promise(runtime, number + 10, receiver.url)
            assert ask(f"SELECT pg_terminate_backend(pid) {listeners}") == 1
            receiver.wait_for(2 * number + 2, timeout=20)


@contextmanager
def silent_receivers(count: int) -> Iterator[list[str]]:
    """Yield URLs of so many origins that accept connections and never respond."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512)) for _ in range(count)]
        yield [f"http://127.0.0.1:{server.getsockname()[1]}/hook" for server in servers]


@pytest.mark.parametrize(
    ("origins", "known"),
    [
        pytest.param(60, True, id="attack-4-known-receiver"),
        pytest.param(60, False, id="attack-4-unknown-receiver"),
        pytest.param(3, False, id="attack-4-few-origins"),
        pytest.param(1, False, id="attack-4-one-origin"),
    ],
)
def test_silent_receivers_keep_no_other_from_its_callbacks(origins: int, known: bool, tmp_path: Path) -> None:
    """One after the other, these 240 callbacks would take the eight places for three minutes."""
    with (
        silent_receivers(origins) as silent,
        Receiver() as good,
        running(tmp_path, callback_concurrency=8, callback_timeout_seconds=6, outbox_poll_seconds=0.02) as runtime,
    ):
        if known:
            promise(runtime, 1000, good.url)
            good.wait_for(1, timeout=10)
        for number in range(240):
            promise(runtime, number, silent[number % origins])
        for number in range(30):
            promise(runtime, 2000 + number, good.url)
        started = time.monotonic()
        good.wait_for(30 + known, timeout=60)
        took = time.monotonic() - started
    assert took < (5 if known else 15)


@pytest.mark.parametrize("name", ["default", "old"])
def test_a_secret_name_without_a_secret_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    secrets = {"default": [SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], name: []}
    runtime = build_runtime(Settings(home=tmp_path, callback_secrets=secrets))
    with pytest.raises(ConfigurationError, match=f"TELECINE_CALLBACK_SECRETS.*{name}"):
        OutboxLoop(runtime)
    runtime.close()


_TENANTS = {"acme": {"callback_secrets": ["default"]}, "mallory": {"callback_secrets": ["m"]}, "free": {}}
_SECRET = {name: [SecretStr(generate_secret())] for name in ("default", "m")}


@pytest.mark.parametrize(
    ("tenant", "secret_name", "tenants", "secrets", "sent"),
    [
        pytest.param("mallory", "m", {"acme", "mallory"}, {"default"}, False, id="attack-9-secret-removed"),
        pytest.param("mallory", "m", {"acme"}, {"default"}, False, id="attack-9-tenant-and-secret-removed"),
        pytest.param("free", None, {"acme", "free"}, {"default"}, True, id="attack-9-control-any-secret"),
        pytest.param("free", None, {"acme"}, {"default"}, False, id="attack-9-default-belongs-to-another"),
        pytest.param(None, "m", {"acme"}, {"default"}, False, id="attack-9-dead-letter"),
        pytest.param("acme", "default", {"acme"}, {"default"}, True, id="attack-9-control-own"),
        pytest.param("mallory", "m", {"acme", "mallory"}, {"default", "m"}, True, id="attack-9-control-still-there"),
        pytest.param("old", "m", set(), {"default"}, True, id="attack-9-control-without-tenants"),
    ],
)
def test_a_callback_is_never_signed_with_another_tenants_secret_attack_9(
    tenant: str | None, secret_name: str | None, tenants: set[str], secrets: set[str], sent: bool, tmp_path: Path
) -> None:
    rules = {name: _TENANTS[name] for name in tenants if name in _TENANTS}
    if "m" not in secrets and "mallory" in rules:
        rules["mallory"] = {"callback_secrets": ["m2"]}
    signing = {name: _SECRET[name] for name in secrets} | ({"m2": _SECRET["m"]} if "m" not in secrets else {})
    with (
        Receiver() as receiver,
        running(tmp_path, tenants=rules, callback_secrets=signing, callback_schedule_seconds=[0.01] * 5) as runtime,
    ):
        new = outbox.NewDelivery(
            id="msg_1", job_id="j" if tenant else None, event="job.failed", url=receiver.url,
            secret_name=secret_name, body=b"{}",
        )  # fmt: skip
        request = Request.model_validate({"id": "j", "type": "noop", "data": Cancel(id="x"), "tenant": tenant})
        with runtime.database.write() as connection:
            if tenant:
                admit(runtime.database, connection, [build_submission(request, role="io", door="inbox")])
            outbox.enqueue(runtime.database, connection, new)
        wait_until(lambda: list_deliveries(runtime.database, limit=9)[0].due_at is None, timeout=20)
        (found,) = list_deliveries(runtime.database, limit=9)
        assert len(receiver.attempts) == sent
        assert found.state is (DeliveryState.DELIVERED if sent else DeliveryState.DISABLED)
        assert sent or str(found.last_answer).startswith("tenant_forbidden: ")
        known = sent or (secret_name or "default") in signing
        assert found.attempts == (1 if known else 3)


@pytest.mark.parametrize("job_id", ["j", None])
def test_a_secret_that_a_process_with_older_settings_does_not_know_waits_attack_9(
    job_id: str | None, tmp_path: Path
) -> None:
    settings = {"tenants": {"free": {}}, "callback_schedule_seconds": [0.5] * 5}
    new = {"job_id": job_id, "event": "job.failed", "secret_name": "m", "body": b"{}"}
    with Receiver() as receiver:
        with running(tmp_path, callback_secrets={"default": _SECRET["default"]}, **settings) as older:
            with older.database.write() as connection:
                delivery = outbox.NewDelivery(id="msg_1", url=receiver.url, **new)  # type: ignore[arg-type]
                outbox.enqueue(older.database, connection, delivery)
            wait_until(lambda: list_deliveries(older.database, limit=9)[0].attempts == 1, timeout=20)
            (found,) = list_deliveries(older.database, limit=9)
            assert found.state is DeliveryState.RETRYING
            assert "TELECINE_CALLBACK_SECRETS" in str(found.last_answer)
        with running(tmp_path, callback_secrets=_SECRET, **settings):
            receiver.wait_for(1, timeout=20)


def test_a_ledger_that_is_away_while_a_callback_is_signed_costs_it_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as receiver, running(tmp_path, callback_timeout_seconds=1.0) as runtime:
        now, left = runtime.database.now, [sa.exc.OperationalError("SELECT", {}, OSError("away"))]

        def away() -> float:
            if left and "_headers" in [frame.name for frame in traceback.extract_stack()]:
                raise left.pop()
            return now()

        monkeypatch.setattr(runtime.database, "now", away)
        new = outbox.NewDelivery(
            id="msg_1", job_id=None, event="job.failed", url=receiver.url, secret_name=None, body=b"{}"
        )
        with runtime.database.write() as connection:
            outbox.enqueue(runtime.database, connection, new)
        receiver.wait_for(1, timeout=20)
        wait_until(lambda: list_deliveries(runtime.database, limit=9)[0].state is DeliveryState.DELIVERED, timeout=20)
        assert not left
        assert list_deliveries(runtime.database, limit=9)[0].attempts == 1


@pytest.mark.parametrize("trace", [{}, {"traceparent": TRACEPARENT}, {"traceparent": TRACEPARENT, "tracestate": "a=1"}])
def test_a_callback_carries_the_trace_context_of_its_request(trace: dict[str, str], tmp_path: Path) -> None:
    with Receiver() as receiver, running(tmp_path) as runtime:
        request = Request(id="j", type="cancel", data=Cancel(id="x"), **trace)
        with runtime.database.write() as connection:
            admit(runtime.database, connection, [build_submission(request, role="io", door="test")])
        promise(runtime, 1, receiver.url, "j")
        (attempt,) = receiver.wait_for(1)
    assert {name: attempt.headers[name] for name in ("traceparent", "tracestate") if name in attempt.headers} == trace
