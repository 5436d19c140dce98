"""The providers' accounts: keys, circuit breakers, calls in flight and spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.ledger import accounts
from consumer.ledger.accounts import BreakerState
from consumer.ledger.call_queries import by_provider, count_calls, spent_since, unknown_costs_since
from consumer.ledger.database import Database
from consumer.ledger.pauses import PauseKind, list_pauses
from consumer.ledger.states import CallState
from ops.checks.providers import missing
from providers.registry import catalogue_of, provider_names
from schemas.accounts import Budget
from schemas.money import format_micros
from schemas.settings import Settings

_IN_FLIGHT = (CallState.SUBMITTING, CallState.WORKING, CallState.FETCHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStatus:
    """One provider's account."""

    provider: str
    #: What is missing to call it, or ``None``.
    missing: str | None
    #: ``closed``, ``open``, ``half`` (half-open), or ``paused`` when the provider asked to wait (Retry-After).
    breaker: str
    #: Seconds until the next call is allowed.
    again_in_seconds: float
    queued: int
    #: Calls in flight.
    out: int
    unknown: int
    concurrency: int
    rate_per_minute: float
    #: US dollars, including reserved money; ``None`` if no price is known. Days and months are UTC.
    today: str | None
    this_month: str | None
    #: Calls of this month with a result at a price that is not set; the sums do not contain them.
    unknown_calls: int
    last_error: str | None
    #: The operator who paused it, or ``None``.
    paused_by: str | None


def provider_statuses(settings: Settings, database: Database) -> Sequence[ProviderStatus]:
    """Return every known provider, sorted by name."""
    now = database.now()
    known = {account.provider: account for account in accounts.list_accounts(database)}
    numbers = count_calls(database)
    free = catalogue_of(settings).free_models
    (today, unknown_today), (month, unknown) = (
        (by_provider(spent_since(database, start)), unknown_costs_since(database, start, free))
        for start in (Budget(usd=0, period="day").period_start(now), Budget(usd=0, period="month").period_start(now))
    )
    held = {pause.name: pause.by for pause in list_pauses(database) if pause.kind is PauseKind.PROVIDER}
    found = []
    for name in sorted({*provider_names(), *known}):
        account, limits = known.get(name), settings.limits_of(name)
        until = 0.0 if account is None else max(account.open_until, account.paused_until)
        breaker = BreakerState.CLOSED if account is None else account.breaker
        paused = account is not None and breaker is BreakerState.CLOSED and account.paused_until > now
        found.append(
            ProviderStatus(
                provider=name,
                missing=missing(name, settings),
                breaker="paused" if paused else breaker.value,
                again_in_seconds=max(0.0, until - now),
                queued=numbers.get((name, CallState.QUEUED.value), 0),
                out=sum(numbers.get((name, state.value), 0) for state in _IN_FLIGHT),
                unknown=numbers.get((name, CallState.UNKNOWN.value), 0),
                concurrency=limits.concurrency,
                rate_per_minute=limits.rate_per_minute,
                today=_known(today.get(name, 0), unknown_today.get(name, 0)),
                this_month=_known(month.get(name, 0), unknown.get(name, 0)),
                unknown_calls=unknown.get(name, 0),
                last_error=None if account is None else account.last_error,
                paused_by=held.get(name),
            )
        )
    return found


def _known(micros: int, unknown_calls: int) -> str | None:
    return None if unknown_calls and not micros else format_micros(micros)
