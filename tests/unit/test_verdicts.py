"""HTTP statuses as errors of a call that may have cost money."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from providers.http.retry_after import MAX_RETRY_AFTER_SECONDS, parse_retry_after
from providers.http.verdicts import error_for_status
from schemas.errors import ProviderError, Verdict


def judged(status: int, *, paid: bool) -> ProviderError:
    return error_for_status(status, "words", provider="Pika", key_setting="PIKA_KEY", paid=paid)


@pytest.mark.parametrize(
    ("status", "paid", "unpaid"),
    [
        (301, "provider_not_configured", "provider_not_configured"),
        (302, "outcome_unknown", "provider_not_configured"),
        (303, "outcome_unknown", "provider_not_configured"),
        (307, "provider_not_configured", "provider_not_configured"),
        (400, "provider_refused", "provider_refused"),
        (401, "provider_unauthorized", "provider_unauthorized"),
        (402, "quota_exhausted", "quota_exhausted"),
        (403, "provider_unauthorized", "provider_unauthorized"),
        (404, "provider_refused", "provider_refused"),
        (408, "outcome_unknown", "provider_unavailable"),
        (413, "provider_refused", "provider_refused"),
        (422, "provider_refused", "provider_refused"),
        (429, "rate_limited", "rate_limited"),
        (500, "outcome_unknown", "provider_unavailable"),
        (502, "outcome_unknown", "provider_unavailable"),
        (503, "outcome_unknown", "provider_unavailable"),
        (504, "outcome_unknown", "provider_unavailable"),
        (599, "outcome_unknown", "provider_unavailable"),
        (101, "outcome_unknown", "provider_unavailable"),
    ],
)
def test_a_status_has_one_verdict_for_a_paid_call_and_one_for_an_unpaid_request(
    status: int, paid: str, unpaid: str
) -> None:
    assert judged(status, paid=True).code == paid
    assert judged(status, paid=False).code == unpaid


def test_only_a_call_that_was_certainly_not_accepted_may_be_repeated() -> None:
    again = [status for status in range(300, 600) if judged(status, paid=True).verdict is Verdict.LATER]
    assert again == [429]


def test_errors_about_the_key_name_its_variable() -> None:
    assert "PIKA_KEY" in judged(401, paid=True).message
    assert "PIKA_KEY" in judged(402, paid=True).message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("1e5", None),
        ("٣", None),
        ("9" * 400, MAX_RETRY_AFTER_SECONDS),
        (" 7 ", 7.0),
        ("1e400", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("99999999", MAX_RETRY_AFTER_SECONDS),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_has_a_limit(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text) == seconds


def test_a_date_in_retry_after_is_counted_from_now() -> None:
    seconds = parse_retry_after(formatdate(time.time() + 90, usegmt=True))
    assert seconds is not None
    assert 85 < seconds <= 91
    assert parse_retry_after(None) is None
