"""Repair after the database's clock was set back: what was due soon would otherwise wait for as long as the step.

A time is stale if it is further ahead than Telecine ever sets it, or if its row was created in the future. A stale time
becomes now; a lease ends after its normal duration, unless its holder renews it, as a live one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consumer.ledger.database import Database
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
    # Read first: PostgreSQL uses no index for a comparison with a clock that moves within the statement.
    now = database.now()
    with database.read() as connection:
        providers = connection.execute(sa.select(accounts.c.provider)).scalars().all()
        repairs = [
            _repair_jobs(now, lease_seconds, again_seconds),
            *_repair_calls(now),
            _repair_deliveries(now, longest_delivery_seconds),
            _Repair(uploads, uploads.c.due_at > now + SLACK_SECONDS + UPLOAD_SECONDS, {"due_at": now}),
            *(_repair_account(name, now, limits_of(name).breaker_seconds) for name in providers),
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


def _repair_jobs(now: float, lease_seconds: float, again_seconds: float) -> _Repair:
    ahead = now + SLACK_SECONDS
    # A request may name the time before which it does not start.
    earliest = sa.case((jobs.c.scheduled_for > now, jobs.c.scheduled_for), else_=now)
    longest = earliest + SLACK_SECONDS + max(RETRY_SECONDS, lease_seconds)
    created_later = sa.and_(jobs.c.received_at > ahead, jobs.c.wake_at >= jobs.c.received_at)
    too_far = sa.and_(
        jobs.c.wake_at > longest,
        sa.or_(
            jobs.c.lease_until.is_not(None),
            jobs.c.not_before > longest,
            jobs.c.wake_at > wake_interval(again_seconds) + earliest,
        ),
    )
    lease_ends = least(jobs.c.lease_until, now + lease_seconds)
    return _Repair(
        jobs,
        # Parked jobs have no wake_at: they are due when their call has ended.
        sa.and_(jobs.c.wake_at > ahead, jobs.c.wake_at > earliest + SLACK_SECONDS, sa.or_(created_later, too_far)),
        {
            "not_before": least(jobs.c.not_before, earliest),
            "lease_until": lease_ends,
            "wake_at": sa.func.coalesce(lease_ends, earliest),
            "wakes": 0,
        },
    )


def _repair_calls(now: float) -> tuple[_Repair, _Repair]:
    ahead = now + SLACK_SECONDS
    created_later = sa.and_(calls.c.queued_at > ahead, calls.c.due_at >= calls.c.queued_at)
    not_asked = sa.and_(calls.c.failures == 0, calls.c.due_at > ahead + CALL_SECONDS)
    stale = sa.and_(calls.c.due_at > ahead, sa.or_(created_later, not_asked, calls.c.due_at > ahead + ASKED_SECONDS))
    submitting = calls.c.state == CallState.SUBMITTING.value
    lease = sa.case((submitting, SUBMISSION_LEASE_SECONDS), else_=CALL_LEASE_SECONDS)
    held = sa.and_(calls.c.due_at.is_not(None), calls.c.lease_until > lease + ahead)
    return _Repair(calls, stale, {"due_at": now}), _Repair(calls, held, {"lease_until": lease + now})


def _repair_deliveries(now: float, longest_seconds: float) -> _Repair:
    ahead = now + SLACK_SECONDS
    first = sa.and_(deliveries.c.attempts == 0, deliveries.c.due_at > ahead + FIRST_DELIVERY_SECONDS)
    later = deliveries.c.due_at > ahead + max(ASKED_SECONDS, longest_seconds * 1.1)
    return _Repair(deliveries, sa.or_(first, later), {"due_at": now})


def _repair_account(provider: str, now: float, breaker_seconds: float) -> _Repair:
    """Repair the provider's rate limit, circuit breaker and pause."""
    ahead = now + SLACK_SECONDS
    stale = sa.or_(
        accounts.c.tokens_at > ahead,
        accounts.c.open_until > ahead + breaker_seconds,
        accounts.c.paused_until > ahead + ASKED_SECONDS,
    )
    times = (accounts.c.tokens_at, accounts.c.open_until, accounts.c.paused_until)
    values = {time.name: least(time, now) for time in times}
    return _Repair(accounts, sa.and_(accounts.c.provider == provider, stale), values)
