"""Providers: accounts, spend and budgets, calls that wait, unknown outcomes, and pauses."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from consumer.ledger.call_queries import list_calls
from consumer.ledger.pauses import list_pauses
from consumer.ledger.states import SETTLED, CallState
from ops.budgets import BudgetStatus, budget_statuses
from ops.dashboard.filters import known_types
from ops.dashboard.view import Dashboard, View
from ops.provider_accounts import ProviderStatus, provider_statuses

_SHOWN = 50
_PARKED = [state for state in CallState if state not in SETTLED | {CallState.UNKNOWN}]


def page(view: View) -> Response:
    """Return the page, optionally with the calls of one provider only."""
    view.require_operator()
    statuses, budgets = accounts(view.dashboard)
    wanted = view.query.get("provider", "")
    shown = [one for one in statuses if not wanted or one.provider == wanted]
    names = [one.provider for one in shown]
    parked = list_calls(view.database, providers=names, states=_PARKED, limit=_SHOWN)
    unknown = list_calls(view.database, providers=names, states=[CallState.UNKNOWN], limit=_SHOWN)
    return view.render(
        "providers.html",
        accounts=statuses,
        budgets=budgets,
        wanted=wanted,
        parked=parked,
        more_parked=_more(parked, sum(one.queued + one.out for one in shown)),
        unknown=unknown,
        more_unknown=_more(unknown, sum(one.unknown for one in shown)),
        pauses=list_pauses(view.database),
        types=known_types(),
        now=view.database.now(),
    )


def accounts(dashboard: Dashboard) -> tuple[Sequence[ProviderStatus], Sequence[BudgetStatus]]:
    """Return the accounts and budgets, read once for all who look: their sums take long if there are many calls."""
    settings, database = dashboard.settings, dashboard.database

    def read() -> tuple[Sequence[ProviderStatus], Sequence[BudgetStatus]]:
        return provider_statuses(settings, database), budget_statuses(settings, database)

    found: tuple[Sequence[ProviderStatus], Sequence[BudgetStatus]] = dashboard.shared("accounts", read)
    return found


def _more(listed: Sequence[object], total: int) -> int:
    return max(0, total - len(listed)) if len(listed) == _SHOWN else 0
