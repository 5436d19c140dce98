"""Repair after the database's clock was set back: what was due soon would otherwise wait for as long as the step.

A time is stale if it is further ahead than Telecine ever sets it, or if its row was created in the future. A stale time
becomes now; a lease ends after its normal duration, unless its holder renews it, as a live one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consumer.ledger.database import Database, db_now
from consumer.ledger.due import least, wake_interval
from consumer.ledger.states import CallState
from consumer.ledger.tables import accounts, calls, deliveries, jobs, uploads
from schemas.accounts import ProviderLimits

#: No difference between two readings of a clock that runs normally.
SLACK_SECONDS = 5.0
#: The longest waits that are set, in seconds; a test compares them with the code that sets them.
RETRY_SECONDS = 900.0
CALL_SECONDS = 300.0
SUBMISSION_LEASE_SECONDS = 900.0
CALL_LEASE_SECONDS = 60.0
FIRST_DELIVERY_SECONDS = 120.0
UPLOAD_SECONDS = 900.0
#: A receiver or a provider may ask for a day, and the schedule of callbacks ends with one, with jitter.
ASKED_SECONDS = 96_000.0


@dataclass(frozen=True, slots=True)
class _Repair:
    table: sa.Table
    stale: sa.ColumnElement[bool]
    values: Mapping[str, Any]


def make_stale_times_due(
    database: Database,
    *,
    lease_seconds: float,
    again_seconds: float,
    longest_delivery_seconds: float,
    limits_of: Callable[[str], ProviderLimits],
) -> int:
    """Make everything with a stale time due now; return the number of rows. Writes only if there is something."""
    with database.read() as connection:
        providers = connection.execute(sa.select(accounts.c.provider)).scalars().all()
        repairs = [
            _repair_jobs(lease_seconds, again_seconds),
            *_repair_calls(),
            _repair_deliveries(longest_delivery_seconds),
            _Repair(uploads, _ahead(uploads.c.due_at, UPLOAD_SECONDS), {"due_at": db_now()}),
            *(_repair_account(name, limits_of(name).breaker_seconds) for name in providers),
        ]
        found = [
            repair
            for repair in repairs
            if connection.execute(
                sa.select(sa.literal(1)).select_from(repair.table).where(repair.stale).limit(1)
            ).first()
        ]
    changed = 0
    for repair in found:
        with database.write() as connection:
            changed += connection.execute(sa.update(repair.table).where(repair.stale).values(repair.values)).rowcount
    return changed


def _repair_jobs(lease_seconds: float, again_seconds: float) -> _Repair:
    created_later = sa.and_(_ahead(jobs.c.received_at), jobs.c.wake_at >= jobs.c.received_at)
    longest = max(RETRY_SECONDS, lease_seconds)
    too_far = sa.and_(
        _ahead(jobs.c.wake_at, longest),
        sa.or_(
            jobs.c.lease_until.is_not(None),
            _ahead(jobs.c.not_before, longest),
            jobs.c.wake_at > db_now() + wake_interval(again_seconds),
        ),
    )
    lease_ends = least(jobs.c.lease_until, db_now() + lease_seconds)
    return _Repair(
        jobs,
        # Parked jobs have no wake_at: they are due when their call has ended.
        sa.and_(_ahead(jobs.c.wake_at), sa.or_(created_later, too_far)),
        {
            "not_before": least(jobs.c.not_before, db_now()),
            "lease_until": lease_ends,
            "wake_at": sa.func.coalesce(lease_ends, db_now()),
            "wakes": 0,
        },
    )


def _repair_calls() -> tuple[_Repair, _Repair]:
    created_later = sa.and_(_ahead(calls.c.queued_at), calls.c.due_at >= calls.c.queued_at)
    not_asked = sa.and_(calls.c.failures == 0, _ahead(calls.c.due_at, CALL_SECONDS))
    stale = sa.and_(_ahead(calls.c.due_at), sa.or_(created_later, not_asked, _ahead(calls.c.due_at, ASKED_SECONDS)))
    submitting = calls.c.state == CallState.SUBMITTING.value
    lease = sa.case((submitting, SUBMISSION_LEASE_SECONDS), else_=CALL_LEASE_SECONDS)
    held = sa.and_(calls.c.due_at.is_not(None), calls.c.lease_until > db_now() + lease + SLACK_SECONDS)
    return _Repair(calls, stale, {"due_at": db_now()}), _Repair(calls, held, {"lease_until": db_now() + lease})


def _repair_deliveries(longest_seconds: float) -> _Repair:
    first = sa.and_(deliveries.c.attempts == 0, _ahead(deliveries.c.due_at, FIRST_DELIVERY_SECONDS))
    later = _ahead(deliveries.c.due_at, max(ASKED_SECONDS, longest_seconds * 1.1))
    return _Repair(deliveries, sa.or_(first, later), {"due_at": db_now()})


def _repair_account(provider: str, breaker_seconds: float) -> _Repair:
    """Repair the provider's rate limit, circuit breaker and pause."""
    stale = sa.or_(
        _ahead(accounts.c.tokens_at),
        _ahead(accounts.c.open_until, breaker_seconds),
        _ahead(accounts.c.paused_until, ASKED_SECONDS),
    )
    times = (accounts.c.tokens_at, accounts.c.open_until, accounts.c.paused_until)
    values = {time.name: least(time, db_now()) for time in times}
    return _Repair(accounts, sa.and_(accounts.c.provider == provider, stale), values)


def _ahead(time: sa.Column[Any], seconds: float = 0.0) -> sa.ColumnElement[bool]:
    return time > db_now() + seconds + SLACK_SECONDS
