"""The numbers behind the metrics, read from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from consumer.ledger import accounts, queries
from consumer.ledger.accounts import BreakerState
from consumer.ledger.call_queries import count_open_calls
from consumer.ledger.counters import Counters, read_counters
from consumer.ledger.database import Database
from consumer.ledger.pauses import list_pauses
from consumer.ledger.queries import Queue
from ops.budgets import budget_statuses
from schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ledger at one moment."""

    #: Whether it accepts writes.
    writable: bool = True
    #: Open jobs, by type and state.
    jobs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    queues: Sequence[Queue] = ()
    #: Those not delivered, by state.
    callbacks: Mapping[str, int] = field(default_factory=dict)
    #: Those not yet replayed, by code.
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    oldest_open_seconds: float = 0.0
    counters: Counters = field(default_factory=dict)
    #: Open calls to remote providers, by provider and state.
    calls: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: Providers whose circuit breaker is not closed.
    breakers_open: Mapping[str, bool] = field(default_factory=dict)
    #: Kind and name of what is paused.
    pauses: Collection[tuple[str, str]] = ()
    #: Limit and spend in US dollars, by tenant and period.
    budgets: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)


def take_snapshot(database: Database, settings: Settings) -> Snapshot:
    """Return the current state of the ledger."""
    return Snapshot(
        writable=not database.is_read_only(),
        jobs=queries.count_open_jobs_by_type(database),
        queues=queries.list_queues(database),
        callbacks=queries.count_deliveries(database, delivered=False),
        dead_letters=queries.count_dead_letters(database),
        oldest_open_seconds=queries.oldest_open_seconds(database),
        counters=read_counters(database, settings.tenants_in_metrics),
        calls=count_open_calls(database),
        breakers_open={
            account.provider: account.breaker is not BreakerState.CLOSED for account in accounts.list_accounts(database)
        },
        pauses=[(pause.kind.value, pause.name) for pause in list_pauses(database)],
        budgets={
            (item.tenant, item.period): (item.limit / 1_000_000, item.spent / 1_000_000)
            for item in budget_statuses(settings, database)
        },
    )
