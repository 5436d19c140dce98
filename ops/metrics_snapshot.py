"""The numbers behind the metrics, read from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consumer.ledger import accounts, queries
from consumer.ledger.accounts import BreakerState
from consumer.ledger.call_queries import count_calls, spent_since
from consumer.ledger.database import Database
from schemas.accounts import Budget

#: The histograms cover jobs that were received and ended within this time.
RECENT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ledger at one moment."""

    #: By type and state.
    jobs: Mapping[tuple[str, str], int]
    callbacks: Mapping[str, int]
    #: Those not yet replayed, by code.
    dead_letters: Mapping[str, int]
    oldest_open_seconds: float
    #: Type, state, seconds from receipt to start, seconds from start to end.
    recent: Sequence[tuple[str, str, float, float]]
    #: Calls to remote providers, by provider and state.
    calls: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: Providers whose circuit breaker is not closed.
    breakers_open: Mapping[str, bool] = field(default_factory=dict)
    #: Spent or reserved this month (UTC), by provider and tenant, in millionths of a US dollar.
    spend: Mapping[tuple[str, str], int] = field(default_factory=dict)


def take_snapshot(database: Database) -> Snapshot:
    """Return the current state of the ledger."""
    return Snapshot(
        jobs=queries.count_jobs_by_type(database),
        callbacks=queries.count_deliveries(database),
        dead_letters=queries.count_dead_letters(database),
        oldest_open_seconds=queries.oldest_open_seconds(database),
        recent=queries.recent_times(database, seconds=RECENT_SECONDS),
        calls=count_calls(database),
        breakers_open={
            account.provider: account.breaker is not BreakerState.CLOSED for account in accounts.list_accounts(database)
        },
        spend=spent_since(database, Budget(usd=0, period="month").period_start(database.now())),
    )
