"""Submissions to Replicate that fail: each is sent once and has the right error without secrets."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from providers.http.policy import Policy
from providers.http.send_guard import send_only_while
from providers.registry import open_provider
from providers.replicate import adapter as replicate_adapter
from schemas.errors import ProviderError, ProviderNotConfigured, Verdict
from schemas.settings import Settings
from tests.contract.replicate_calls import (
    adapter,
    ask,
    clip,
    submitting,
    trouble,
)
from tests.doubles.calls import closing
from tests.doubles.misbehaviour import Fault
from tests.doubles.replicate import Replicate, problem, throttled
from tests.doubles.replicate_document import schema_errors
from tests.security.servers import closed_port


@pytest.fixture
def double() -> Iterator[Replicate]:
    """Yield the double, and validate all its normal responses against Replicate's document afterwards."""
    with Replicate() as started:
        yield started
    assert schema_errors(started.answers) == []


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(act="drop"),
        Fault(act="reset"),
        Fault(act="cut", accept=True),
        Fault(act="slow", seconds=9.0),
        Fault(status=500),
        Fault(status=502, body="<html>bad gateway"),
        Fault(status=503),
        Fault(status=504),
        Fault(status=408),
        Fault(status=201, body=""),
        Fault(status=201, body="{}"),
        Fault(status=201, body='["x"]'),
        Fault(status=202, body='{"id": "../x"}'),
        Fault(status=303, headers={"location": "/elsewhere"}),
    ],
    ids=lambda fault: f"{fault.act}-{fault.status}-{fault.body[:10]}",
)
def test_a_submission_that_may_have_arrived_is_unknown_and_never_sent_twice(
    double: Replicate, fault: Fault, accept: bool
) -> None:
    double.fault(dataclasses.replace(fault, accept=accept or fault.accept))
    error = trouble(double, submitting(clip()), exchange_timeout_seconds=2 if fault.seconds else 10)
    assert (error.code, error.verdict) == ("outcome_unknown", Verdict.UNKNOWN)
    assert double.count("submit") == 1
    assert double.charges() <= 1


def test_the_sdk_does_not_send_a_submission_after_its_timeout(double: Replicate) -> None:
    async def late(provider: replicate_adapter.Replicate) -> object:
        with send_only_while(lambda: False):
            return await provider.submit(clip())

    error = trouble(double, late)
    assert (error.code, error.retryable, double.requests) == ("provider_unavailable", True, [])


def test_a_submission_that_reached_no_server_is_retryable(double: Replicate) -> None:
    with closed_port() as port:
        policy = Policy(allowed_hosts=frozenset({"127.0.0.1"}))
        settings = Settings(replicate_base_url=f"http://127.0.0.1:{port}", replicate_token=SecretStr("k-123456789"))
        with pytest.raises(ProviderError) as caught:
            asyncio.run(closing(replicate_adapter.from_settings(settings, policy), submitting(clip())))
    assert caught.value.code == "provider_unavailable"


@pytest.mark.parametrize(
    ("fault", "code", "message", "wait"),
    [
        (throttled(7), "rate_limited", "throttled", 7.0),
        (throttled(3, headers={"retry-after": "20"}), "rate_limited", "throttled", 20.0),
        (problem(429, "Too many requests"), "rate_limited", "Too many", None),
        (problem(402, "Insufficient credit to run this model."), "quota_exhausted", "REPLICATE_API_TOKEN", None),
        (problem(422, "You have insufficient credit."), "quota_exhausted", "insufficient credit", None),
        (problem(401, "Unauthenticated"), "provider_unauthorized", "REPLICATE_API_TOKEN", None),
        (problem(422, "- input.image: does not match"), "provider_refused", "input.image", None),
        (problem(404, "no such version"), "provider_refused", "no such version", None),
        (Fault(status=400, body='["a list", "of words"]'), "provider_refused", "a list; of words", None),
        (Fault(status=400, body="<html>x</html>"), "provider_refused", "HTTP 400", None),
    ],
)
def test_each_refusal_has_its_error_and_cost_nothing(
    double: Replicate, fault: Fault, code: str, message: str, wait: float | None
) -> None:
    double.fault(fault)
    error = trouble(double, submitting(clip()))
    assert (error.code, error.retry_after_seconds) == (code, wait)
    assert message in error.message
    assert (double.count("submit"), double.charges()) == (1, 0)


def test_the_low_credit_throttle_is_not_an_empty_account(double: Replicate) -> None:
    words = "Your rate limit is reduced while you have less than $5.0 in credit. resets in ~9s."
    double.fault(problem(429, words))
    error = trouble(double, submitting(clip()))
    assert (error.code, error.retry_after_seconds) == ("rate_limited", 9.0)


def test_the_error_for_a_wrong_key_names_its_variable(double: Replicate) -> None:
    error = trouble(double, submitting(clip()), replicate_token=SecretStr("r8_wrongwrongwrong"))
    assert error.code == "provider_unauthorized"
    assert "REPLICATE_API_TOKEN" in error.message


@pytest.mark.parametrize("token", [None, SecretStr("")])
def test_the_error_for_a_missing_key_names_its_variable(token: SecretStr | None) -> None:
    with pytest.raises(ProviderNotConfigured, match="REPLICATE_API_TOKEN"):
        open_provider("replicate", Settings(replicate_token=token), Policy())


def test_a_key_in_the_environment_does_not_override_the_settings(
    double: Replicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = adapter(double)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_somebody_elses_token")
    monkeypatch.setenv("REPLICATE_BASE_URL", "http://127.0.0.1:9")
    asyncio.run(closing(provider, submitting(clip())))
    assert {seen.headers["authorization"] for _, seen in double.requests} == {f"Bearer {double.key}"}


def test_the_base_url_of_the_newer_sdk_works_too(double: Replicate) -> None:
    ask(double, submitting(clip()), replicate_base_url=f"{double.url}/v1/")
    assert double.charges() == 1
