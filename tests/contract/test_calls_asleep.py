"""A process that was suspended between the intent and the first byte of a paid request does not send it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.calls.claiming import SUBMIT_LEASE_SECONDS
from consumer.calls.engine import BEGIN_SECONDS, CallEngine, SuspendAwareTimer
from consumer.ledger import call_outcomes, tables
from consumer.ledger.states import CallState, State
from providers.base import Call, TaskRef
from providers.http.exchange import Exchange
from providers.http.policy import Policy
from providers.http.send_guard import send_only_while
from schemas.errors import ProviderError
from schemas.settings import Settings
from tests.call_line import Line
from tests.security.servers import Listener, reply

ANYWHERE = Policy(allowed_hosts=frozenset({"127.0.0.1"}))


def door(server: Listener) -> Exchange:
    headers = {"authorization": "Bearer sEcr3t-0123456789"}
    return Exchange(f"http://{server.host}", ANYWHERE, headers, provider="Vendor", key_setting="VENDOR_KEY")


def test_not_one_byte_of_a_paid_request_is_sent_after_the_time_limit() -> None:
    async def work(server: Listener) -> None:
        exchange = door(server)
        try:
            with send_only_while(lambda: False):
                with pytest.raises(ProviderError, match="Nothing was sent") as caught:
                    await exchange.send("POST", "/go", json={"a": 1}, paid=True)
                assert (caught.value.code, caught.value.retryable) == ("provider_unavailable", True)
                assert (await exchange.send("GET", "/look", paid=False)).json() == {}
        finally:
            await exchange.aclose()

    with Listener(reply(b"{}")) as server:
        asyncio.run(work(server))
    assert [request[:3] for request in server.requests] == [b"GET"]


@pytest.mark.parametrize("sleeper", [0, 1])
def test_the_timer_returns_the_maximum_over_its_clocks(sleeper: int) -> None:
    times = [100.0, 5_000.0]
    timer = SuspendAwareTimer([lambda: times[0], lambda: times[1]])
    times[sleeper] += 901.0
    times[1 - sleeper] -= 50.0
    assert timer.seconds() == 901.0


def test_the_rest_of_the_lease_is_longer_than_any_exchange() -> None:
    settings = Settings()
    longest = max(settings.exchange_timeout_seconds, settings.elevenlabs_timeout_seconds)
    assert longest < SUBMIT_LEASE_SECONDS - BEGIN_SECONDS


def test_an_engine_that_was_suspended_past_its_lease_does_not_send_a_second_request(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_outcomes, "LOOK_UP_SECONDS", 0.0)
    clock, awake, prepared = [0.0], threading.Event(), threading.Event()
    line.submit()
    assert line.advance() is State.WAITING

    with Listener(reply(json.dumps({"id": "t"}).encode())) as server:

        def adapter(*, sleeps: bool) -> Any:
            provider = type(line.alpha)(result=line.alpha.result)

            async def submit(call: Call) -> TaskRef:
                if sleeps:
                    prepared.set()
                    await asyncio.to_thread(awake.wait, 60)
                exchange = door(server)
                try:
                    answer = await exchange.send("POST", "/go", json={"key": call.key}, paid=True)
                finally:
                    await exchange.aclose()
                return TaskRef(answer.json()["id"])

            provider.submit = submit  # type: ignore[method-assign]
            return provider

        first = CallEngine(
            line.runtime, line._woken, opener=lambda name: adapter(sleeps=True), clocks=[lambda: clock[0]]
        )
        # The whole process is suspended, so its leases are not renewed.
        monkeypatch.setattr(first._claimer, "_renew_leases", lambda calls: None)
        sleeper = threading.Thread(target=first.run, daemon=True)
        sleeper.start()
        assert prepared.wait(30)
        first._stopped.set()
        clock[0] += SUBMIT_LEASE_SECONDS + 1
        with line.runtime.database.write() as connection:
            connection.execute(sa.update(tables.calls).values(lease_until=1.0))
        second = CallEngine(line.runtime, line._woken, opener=lambda name: adapter(sleeps=False))
        other = threading.Thread(target=second.run, daemon=True)
        other.start()
        line.until(lambda: line.call().settled)
        awake.set()
        sleeper.join(30)
        second.stop()
        other.join(30)
    assert len(server.requests) == 1
    assert line.call().state is CallState.DONE
    assert "call_not_found" in line.events()
