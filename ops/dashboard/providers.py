"""Providers: accounts, spend and budgets, calls that wait, unknown outcomes, and pauses."""

from __future__ import annotations

from starlette.responses import Response

from consumer.ledger.call_queries import list_calls
from consumer.ledger.pauses import list_pauses
from consumer.ledger.states import SETTLED, CallState
from ops.dashboard.filters import known_types
from ops.dashboard.view import View
from ops.provider_accounts import budget_statuses, provider_statuses

_SHOWN = 50
_PARKED = [state for state in CallState if state not in SETTLED | {CallState.UNKNOWN}]


def page(view: View) -> Response:
    """Return the page."""
    view.require_operator()
    accounts = provider_statuses(view.settings, view.database)
    names = [account.provider for account in accounts]
    parked = list_calls(view.database, providers=names, states=_PARKED)
    return view.render(
        "providers.html",
        accounts=accounts,
        budgets=budget_statuses(view.settings, view.database),
        parked=parked[:_SHOWN],
        more_parked=max(0, len(parked) - _SHOWN),
        unknown=list_calls(view.database, providers=names, states=[CallState.UNKNOWN]),
        pauses=list_pauses(view.database),
        types=known_types(),
        now=view.database.now(),
    )
