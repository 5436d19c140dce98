"""Faults of each provider: the error of each, and at most one charge per call."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from providers.base import Call, Failed, Pending, Ready, RemoteProvider, TaskRef
from providers.cococlip.models import MODELS as COCOCLIP_MODELS
from providers.http.policy import Policy
from providers.imagine.models import IMAGINE
from providers.pika.models import PIKA
from providers.registry import open_provider
from providers.runpod_public.models import WAN_25
from schemas.errors import ProviderError, ProviderNotConfigured, Verdict
from schemas.settings import Settings
from tests.doubles.calls import INPUT_SECRET, call_of, closing, contains_no_secret, media
from tests.doubles.cococlip import Cococlip
from tests.doubles.double import URL_SECRET, Double
from tests.doubles.imagine import Imagine
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.pika import Pika
from tests.doubles.runpod_public import RunPodPublic

BY_ID = {model.id: model for model in (*COCOCLIP_MODELS, IMAGINE, PIKA, WAN_25)}
PROMPT = "a red kite over dunes"


@dataclass(frozen=True)
class ProviderCase:
    """One provider under test."""

    name: str
    model: str
    double: Double
    values: dict[str, Any]

    def call(self) -> Call:
        inputs = {"image": media("in.png", "image/png")} if self.name != "imagine" else {}
        return call_of(BY_ID[self.model], {"prompt": PROMPT}, inputs)

    def open(self, **changes: Any) -> RemoteProvider:
        settings = Settings(**({"exchange_timeout_seconds": 10.0} | self.values | changes))
        return open_provider(self.name, settings, Policy(allowed_hosts=frozenset({self.double.host})))


_CASES: dict[str, tuple[type[Double], str, Callable[[Double], dict[str, Any]]]] = {
    "pika": (Pika, "pika", lambda d: {"pika_base_url": d.url, "pika_token": SecretStr(d.key)}),
    "cococlip": (
        Cococlip,
        "wan25fast",
        lambda d: {"cococlip_base_url": d.url, "cococlip_auth_header": SecretStr(f"x-cococlip-key:{d.key}")},
    ),
    "imagine": (
        Imagine,
        "imagine-text-to-video",
        lambda d: {"imagine_base_url": d.url, "imagine_api_key": SecretStr(d.key)},
    ),
    "runpod-public": (
        RunPodPublic,
        "runpod-wan-2-5",
        lambda d: {"runpod_base_url": f"{d.url}/v2", "runpod_api_key": SecretStr(d.key)},
    ),
}


@pytest.fixture(params=_CASES)
def case(request: pytest.FixtureRequest) -> Iterator[ProviderCase]:
    kind, model, values = _CASES[request.param]
    with kind() as double:
        yield ProviderCase(request.param, model, double, values(double))


def submitted(case: ProviderCase, call: Call, **changes: Any) -> TaskRef | Ready:
    async def work(adapter: RemoteProvider) -> TaskRef | Ready:
        return await adapter.submit(call)

    return asyncio.run(closing(case.open(**changes), work))


def polled(case: ProviderCase, call: Call, task: TaskRef | Ready, **changes: Any) -> Pending | Ready | Failed:
    assert isinstance(task, TaskRef)
    known = task

    async def work(adapter: RemoteProvider) -> Pending | Ready | Failed:
        return await adapter.poll(call, known)

    return asyncio.run(closing(case.open(**changes), work))


def trouble(case: ProviderCase, fault: Fault, **changes: Any) -> ProviderError:
    """Return the error of a submission with the fault."""
    case.double.fault(fault)
    with pytest.raises(ProviderError) as caught:
        submitted(case, case.call(), **changes)
    assert case.double.count("submit") == 1
    assert contains_no_secret(caught.value, case.double.key)
    return caught.value


LEAKY = json.dumps(
    {"message": f"refused https://u:w@h.example/a.png?X-Amz-Signature={INPUT_SECRET} (Signature={URL_SECRET})"}
)
#: Faults of a submission: the fault, the number of charges, and the error code.
SUBMISSIONS = {
    "accepted, then the line dropped": (Fault(act="drop", accept=True), 1, "outcome_unknown"),
    "accepted, then the line reset": (Fault(act="reset", accept=True), 1, "outcome_unknown"),
    "accepted, then cut in the answer": (Fault(act="cut", accept=True), 1, "outcome_unknown"),
    "accepted, then silence": (Fault(act="drop", accept=True, seconds=20), 1, "outcome_unknown"),
    "accepted, then 500": (Fault(accept=True, status=500), 1, "outcome_unknown"),
    "accepted, then 502 with a page": (Fault(accept=True, status=502, body="<html>"), 1, "outcome_unknown"),
    "accepted, then 504": (Fault(accept=True, status=504), 1, "outcome_unknown"),
    "accepted, then garbage": (Fault(accept=True, status=200, body="!!"), 1, "outcome_unknown"),
    "accepted, then nothing": (Fault(accept=True, status=200), 1, "outcome_unknown"),
    "accepted, then no id": (Fault(accept=True, status=200, body="{}"), 1, "outcome_unknown"),
    "accepted, then sent elsewhere": (Fault(accept=True, status=303), 1, "outcome_unknown"),
    "dropped before it was read": (Fault(act="drop"), 0, "outcome_unknown"),
    "503 with a time": (Fault(status=503, headers={"retry-after": "5"}), 0, "outcome_unknown"),
    "408": (Fault(status=408), 0, "outcome_unknown"),
    "429 with a time": (Fault(status=429, headers={"retry-after": "5"}), 0, "rate_limited"),
    "429 in plain text": (Fault(status=429, body="Too many requests, try later"), 0, "rate_limited"),
    "429 with nothing": (Fault(status=429), 0, "rate_limited"),
    "402": (Fault(status=402, body='{"message": "no credit"}'), 0, "quota_exhausted"),
    "401": (Fault(status=401), 0, "provider_unauthorized"),
    "403 in plain text": (Fault(status=403, body="forbidden"), 0, "provider_unauthorized"),
    "400 that repeats our URL": (Fault(status=400, body=LEAKY), 0, "provider_refused"),
    "422": (Fault(status=422, body='{"detail": [{"msg": "bad"}]}'), 0, "provider_refused"),
    "404": (Fault(status=404), 0, "provider_refused"),
    "moved": (Fault(status=308, headers={"location": "http://127.0.0.1:9/"}), 0, "provider_not_configured"),
}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_a_failed_submission_is_sent_once_and_its_error_shows_whether_it_may_be_accepted(
    case: ProviderCase, name: str
) -> None:
    fault, charges, code = SUBMISSIONS[name]
    limit = {"exchange_timeout_seconds": 2.0} if fault.seconds else {}
    error = trouble(case, fault, **limit)
    assert error.code == code
    assert case.double.charges() == charges
    # An error after a charge is never retryable.
    assert not charges or error.verdict is Verdict.UNKNOWN


def test_a_slow_response_within_the_timeout_is_accepted(case: ProviderCase) -> None:
    case.double.fault(Fault(act="slow", seconds=0.3))
    assert isinstance(submitted(case, case.call()), TaskRef)
    assert case.double.charges() == 1


def test_two_calls_are_two_charges_and_one_call_is_one(case: ProviderCase) -> None:
    first, second = submitted(case, case.call()), submitted(case, case.call())
    assert first != second
    assert case.double.charges() == case.double.count("submit") == 2


def test_an_unreachable_provider_certainly_did_not_accept(case: ProviderCase) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{held.getsockname()[1]}"
        moved = {name: f"http://{host}" for name in case.values if name.endswith("_base_url")}
        adapter = open_provider(case.name, Settings(**(case.values | moved)), Policy(allowed_hosts=frozenset({host})))
        with pytest.raises(ProviderError) as caught:
            asyncio.run(closing(adapter, lambda each: each.submit(case.call())))
    assert (caught.value.code, caught.value.verdict) == ("provider_unavailable", Verdict.LATER)


def test_a_host_that_the_operator_has_not_allowed_is_not_called(case: ProviderCase) -> None:
    with pytest.raises(ProviderNotConfigured, match="TELECINE_ALLOWED_PRIVATE_HOSTS"):
        open_provider(case.name, Settings(**case.values), Policy())
    assert case.double.requests == []


#: Faults of a poll, with the code of the error after which it is repeated.
LOOKS = {
    "dropped": (Fault("poll", act="drop"), "provider_unavailable"),
    "reset": (Fault("poll", act="reset"), "provider_unavailable"),
    "silent": (Fault("poll", act="drop", seconds=20), "provider_unavailable"),
    "500": (Fault("poll", status=500), "provider_unavailable"),
    "503 with a page": (Fault("poll", status=503, body="<html>"), "provider_unavailable"),
    "408": (Fault("poll", status=408), "provider_unavailable"),
    "429": (Fault("poll", status=429, headers={"retry-after": "5"}), "rate_limited"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_failed_poll_does_not_end_the_task(case: ProviderCase, name: str) -> None:
    fault, code = LOOKS[name]
    call = case.call()
    task = submitted(case, call)
    case.double.fault(fault)
    with pytest.raises(ProviderError) as caught:
        polled(case, call, task, **({"exchange_timeout_seconds": 0.3} if fault.seconds else {}))
    assert (caught.value.code, caught.value.verdict) == (code, Verdict.LATER)
    assert isinstance(polled(case, call, task), Ready)
    assert case.double.charges() == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_task_is_lost(case: ProviderCase, status: int) -> None:
    call = case.call()
    task = submitted(case, call)
    case.double.fault(Fault("poll", status=status, body="gone"))
    answer = polled(case, call, task)
    assert isinstance(answer, Failed)
    assert (answer.error.code, answer.charged) == ("provider_task_lost", True)


def test_a_task_that_never_ends_stays_pending(case: ProviderCase) -> None:
    case.double.plan(Plan("never"))
    call = case.call()
    task = submitted(case, call)
    for _ in range(3):
        answer = polled(case, call, task)
        assert isinstance(answer, Pending)
        assert answer.progress is None or 0 <= answer.progress < 1


def test_polling_a_finished_task_is_idempotent(case: ProviderCase) -> None:
    call = case.call()
    task = submitted(case, call)
    assert polled(case, call, task) == polled(case, call, task)
    assert case.double.charges() == 1


def test_an_error_is_reported_without_the_secrets_in_it(case: ProviderCase) -> None:
    key = case.double.key
    words = f"sorry: {key}, Bearer {key}, https://h.example/i.png?X-Amz-Signature={INPUT_SECRET}&x=1 \x1b[2Jnsfw"
    case.double.plan(Plan("fail", words + "!" * 5000))
    call = case.call()
    answer = polled(case, call, submitted(case, call))
    assert isinstance(answer, Failed)
    assert answer.error.code == "provider_task_failed"
    assert "nsfw" in answer.error.message
    assert "\x1b" not in answer.error.message
    assert len(answer.error.message) < 400
    assert contains_no_secret(answer.error, key)


def test_no_log_contains_a_key_or_a_presigned_url(case: ProviderCase, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    call = case.call()
    polled(case, call, submitted(case, call))
    case.double.fault(Fault("poll", status=500, body=LEAKY))
    with pytest.raises(ProviderError):
        polled(case, call, submitted(case, call))
    for secret in (case.double.key, INPUT_SECRET, URL_SECRET):
        assert secret not in caplog.text


def test_many_calls_at_once_are_one_charge_each(case: ProviderCase) -> None:
    calls = [case.call() for _ in range(40)]

    async def work(adapter: RemoteProvider) -> list[Any]:
        tasks = [task for task in await asyncio.gather(*map(adapter.submit, calls)) if isinstance(task, TaskRef)]
        return await asyncio.gather(*map(adapter.poll, calls, tasks))

    answers = asyncio.run(closing(case.open(), work))
    assert [type(answer) for answer in answers] == [Ready] * 40
    assert case.double.charges() == case.double.count("submit") == 40
