"""The first page: what runs, what waits and for what, what went wrong lately, and what needs a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from consumer.ledger import browsing
from consumer.ledger.pauses import list_pauses
from consumer.ledger.queries import count_jobs_by_type, list_jobs
from consumer.ledger.states import State
from ops.checks.finding import Finding
from ops.checks.workers import workers
from ops.dashboard.jobs import job_rows
from ops.dashboard.providers import accounts
from ops.dashboard.view import Dashboard, View
from ops.overview import DAY

_SHOWN = 8
_WORKERS_SECONDS = 10.0
_STATES = [state.value for state in State]


def page(view: View) -> Response:
    """Return the page; a tenant gets the list of its jobs."""
    if view.visitor.tenant is not None:
        return view.redirect("/jobs")
    dashboard = view.dashboard
    numbers = dashboard.shared("overview", lambda: _numbers(dashboard))
    recent = list_jobs(view.database, limit=_SHOWN)
    return view.render(
        "overview.html",
        overview=dashboard.overview.get(),
        health=dashboard.health.get(),
        workers=dashboard.shared("workers", lambda: _workers(dashboard), seconds=_WORKERS_SECONDS),
        recent=job_rows(view.database, recent, embedded=view.settings.embedded),
        states=_STATES,
        now=view.database.now(),
        embedded=view.settings.embedded,
        **numbers,
    )


def _workers(dashboard: Dashboard) -> Finding:
    try:
        return workers(dashboard.settings)
    except Exception as error:  # the broker's own exceptions; the rest of the page is shown all the same
        return Finding("fail", f"unknown: the broker does not answer ({type(error).__name__})")


def _numbers(dashboard: Dashboard) -> Mapping[str, Any]:
    database, settings = dashboard.database, dashboard.settings
    by_type: dict[str, dict[str, int]] = {}
    for (job_type, state), number in sorted(count_jobs_by_type(database).items()):
        by_type.setdefault(job_type, {})[state] = number
    by_tenant: dict[str, dict[str, int]] = {}
    for tenant, state, number in browsing.count_by_tenant(database, seconds=DAY, limit=_SHOWN):
        by_tenant.setdefault(tenant, {})[state] = number
    stuck = browsing.stuck_jobs(database, limit=_SHOWN)
    statuses, budgets = accounts(dashboard)
    return {
        "by_type": by_type,
        "by_tenant": by_tenant,
        "stuck": job_rows(database, stuck, embedded=settings.embedded),
        "spent": [status for status in statuses if status.this_month is None or float(status.this_month) > 0],
        "budgets": budgets,
        "pauses": list_pauses(database),
    }
