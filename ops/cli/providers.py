"""``telecine providers``: provider accounts, circuit breakers, calls in flight and spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer
from rich.table import Table
from rich.text import Text

from consumer.ledger import accounts
from consumer.ledger.accounts import BreakerState
from consumer.ledger.call_queries import by_provider, count_calls, spent_since
from consumer.ledger.database import Database
from consumer.ledger.states import CallState
from ops.checks.providers import missing
from ops.cli.console import JsonOption, out, print_json, show, table
from ops.cli.opening import opened_ledger, read_settings
from ops.formatting import duration
from providers.registry import provider_names
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
    #: US dollars, including reserved money; days and months are UTC.
    today: str
    this_month: str
    last_error: str | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("providers")(providers)


def providers(as_json: JsonOption = False) -> None:
    """Show the providers: keys, circuit breakers, calls in flight and spend."""
    settings = read_settings()
    with opened_ledger(settings) as database:
        views = provider_statuses(settings, database)
    if as_json:
        print_json([asdict(view) for view in views])
        return
    show(_table(views))
    reasons = [(view.provider, view.missing or view.last_error) for view in views if view.missing or view.last_error]
    if out.is_terminal and reasons:
        # In a pipe the reason is the last column.
        made = table("PROVIDER", "WHAT IS MISSING, OR THE LAST ERROR", whole=("PROVIDER",))
        for name, reason in reasons:
            made.add_row(name, Text(reason or ""))
        out.print()
        show(made)


def _table(views: Sequence[ProviderStatus]) -> Table:
    numbers = ("QUEUED", "OUT", "UNKNOWN", "RATE", "TODAY", "THIS MONTH")
    names = ("PROVIDER", "READY", "BREAKER", *numbers, *(() if out.is_terminal else ("REASON",)))
    made = table(*names, right=numbers, whole=names[:-1], drop=("RATE", "TODAY", "QUEUED", "UNKNOWN", "OUT"))
    for view in views:
        made.add_row(
            view.provider,
            Text("yes", style="green") if view.missing is None else Text("no", style="yellow"),
            _breaker(view),
            str(view.queued),
            f"{view.out}/{view.concurrency}",
            Text(str(view.unknown), style="bold red" if view.unknown else ""),
            f"{view.rate_per_minute:g}/min",
            f"${view.today}",
            f"${view.this_month}",
            *(() if out.is_terminal else (view.missing or view.last_error or "",)),
        )
    return made


def provider_statuses(settings: Settings, database: Database) -> Sequence[ProviderStatus]:
    """Return every known provider, sorted by name."""
    now = database.now()
    known = {account.provider: account for account in accounts.list_accounts(database)}
    numbers = count_calls(database)
    today = by_provider(spent_since(database, Budget(usd=0, period="day").period_start(now)))
    month = by_provider(spent_since(database, Budget(usd=0, period="month").period_start(now)))
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
                today=format_micros(today.get(name, 0)),
                this_month=format_micros(month.get(name, 0)),
                last_error=None if account is None else account.last_error,
            )
        )
    return found


def _breaker(view: ProviderStatus) -> Text:
    wait = f", {duration(view.again_in_seconds)}" if view.again_in_seconds > 0 and view.breaker != "closed" else ""
    style = {"closed": "green", "open": "bold red"}.get(view.breaker, "yellow")
    return Text(view.breaker + wait, style=style)
