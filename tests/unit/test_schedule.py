"""The retry schedule of callbacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, strategies as st

from consumer.callbacks.schedule import (
    DELAYS_SECONDS,
    Delivered,
    Disabled,
    Exhausted,
    Retry,
    next_attempt,
)
from providers.http.retry_after import parse_retry_after
from schemas.errors import AddressForbidden, InputUnavailable

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def none() -> float:
    return 0.0


def test_the_schedule_is_that_of_the_contract() -> None:
    waits = [next_attempt(attempt, 500, jitter=none) for attempt in range(1, 11)]

    minute, hour = 60, 3600
    expected = [5, 5 * minute, 30 * minute, *(hours * hour for hours in (2, 5, 10, 14, 20, 24))]
    assert waits == [*(Retry(float(seconds)) for seconds in expected), Exhausted()]


@pytest.mark.parametrize(("random", "seconds"), {0.0: 300, 0.5: 315, 1.0: 330, -9.0: 300, 9.0: 330}.items())
def test_jitter_adds_up_to_a_tenth_and_never_subtracts(random: float, seconds: float) -> None:
    verdict = next_attempt(2, 500, jitter=lambda: random)

    assert isinstance(verdict, Retry)
    assert verdict.after_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize("attempt", [1, 10])
def test_any_2xx_delivers(status: int, attempt: int) -> None:
    assert next_attempt(attempt, status, "3600", jitter=none) == Delivered()


@pytest.mark.parametrize(
    "status", [None, 100, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 422, 500, 503, 599]
)
def test_any_other_status_is_retried(status: int | None) -> None:
    assert next_attempt(1, status, jitter=none) == Retry(5.0)


def test_gone_disables_at_once() -> None:
    assert next_attempt(1, 410, "60", jitter=none) == Disabled("gone")


def test_a_forbidden_address_disables_at_once() -> None:
    assert next_attempt(1, None, jitter=none, error=AddressForbidden()) == Disabled("address_forbidden")


def test_another_error_is_a_failed_attempt() -> None:
    assert next_attempt(1, None, jitter=none, error=InputUnavailable()) == Retry(5.0)


@pytest.mark.parametrize("status", [429, 502, 504])
def test_an_overloaded_receiver_gets_a_minute_and_is_marked(status: int) -> None:
    assert next_attempt(1, status, jitter=none) == Retry(60.0)
    assert next_attempt(2, status, jitter=none) == Retry(300.0)


def test_another_schedule_is_followed_to_its_end() -> None:
    waits = [next_attempt(attempt, 502, jitter=none, delays_seconds=[0.1, 0.2]) for attempt in (1, 2, 3)]

    assert waits == [Retry(0.2), Retry(0.2), Exhausted()]
    assert next_attempt(1, 500, jitter=none, delays_seconds=[]) == Exhausted()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after_is_the_earliest_time(status: int) -> None:
    later, sooner = next_attempt(1, status, "120", jitter=none), next_attempt(3, status, "120", jitter=none)

    assert isinstance(later, Retry)
    assert later.after_seconds == 120.0
    assert isinstance(sooner, Retry)
    assert sooner.after_seconds == 1800.0


def test_retry_after_as_a_date_is_counted_from_now() -> None:
    header = format_datetime(NOW + timedelta(minutes=10), usegmt=True)

    assert next_attempt(1, 503, header, jitter=none, now=lambda: NOW) == Retry(600.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    {
        None: 0,
        "": 0,
        "0": 0,
        "7": 7,
        " 7 ": 7,
        "86400": 86_400,
        "86401": 86_400,
        "9" * 5000: 86_400,
        "-5": 0,
        "1.5": 1.5,
        "soon": 0,
        "٣": 0,
        "Thu, 01 Jan 2026 00:01:00 GMT": 60,
        "Thu, 01 Jan 2026 00:01:00": 60,
        "Thursday, 01-Jan-26 00:01:00 GMT": 60,
        "Wed, 31 Dec 2025 23:59:00 GMT": 0,
        "Fri, 01 Jan 2027 00:00:00 GMT": 86_400,
        "Thu, 99 Jan 2026 00:00:00 GMT": 0,
        "Thu, 01 Jan 99999999 00:00:00 GMT": 0,
    }.items(),
)
def test_a_retry_after_header_is_read_within_bounds(header: str | None, seconds: float) -> None:
    assert (parse_retry_after(header, NOW) or 0) == seconds


@given(st.text())
def test_any_retry_after_header_keeps_the_schedule_valid(header: str) -> None:
    assert 0.0 <= (parse_retry_after(header, NOW) or 0.0) <= 86_400.0


@given(st.integers(1, 30), st.none() | st.integers(100, 599), st.none() | st.text(), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_scheduled_nor_longer_than_a_day_and_a_tenth(
    attempt: int, status: int | None, header: str | None, jitter: float
) -> None:
    verdict = next_attempt(attempt, status, header, jitter=lambda: jitter)

    if isinstance(verdict, Retry):
        assert DELAYS_SECONDS[attempt - 1] <= verdict.after_seconds <= 86_400 * 1.1
    elif attempt <= len(DELAYS_SECONDS):
        assert isinstance(verdict, Delivered | Disabled)
