"""The budgets of tenants, and what they have spent of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.ledger.call_queries import spent_by_tenant
from consumer.ledger.database import Database
from schemas.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """What a tenant may spend, and what it has spent or reserved in the current period."""

    #: ``*`` for all tenants without a budget of their own.
    tenant: str
    #: ``day``, ``month`` or ``ever``; days and months are UTC.
    period: str
    #: Millionths of a US dollar.
    limit: int
    spent: int

    @property
    def share(self) -> float:
        """From 0; above 1 once it is exceeded."""
        return self.spent / self.limit if self.limit else float(self.spent > 0)


def budget_statuses(settings: Settings, database: Database) -> Sequence[BudgetStatus]:
    """Return the budget of every tenant that has one, sorted by name.

    Without tenants in the settings, all without a budget of their own share the budget ``*``. Otherwise it applies to
    each of them, and the sum is that of the one that spent most.
    """
    if not settings.budgets:
        return ()
    now = database.now()
    found = []
    for tenant, budget in sorted(settings.budgets.items()):
        spent = _spent(settings, database, tenant, budget.period_start(now))
        found.append(BudgetStatus(tenant=tenant, period=budget.period, limit=budget.micros, spent=spent))
    return found


def _spent(settings: Settings, database: Database, tenant: str, since: float) -> int:
    if tenant != "*":
        return sum(spent_by_tenant(database, since, of=[tenant]).values())
    others = spent_by_tenant(database, since, other_than=list(settings.budgets)).values()
    return max(others, default=0) if settings.tenants else sum(others)
