"""Whose turn it is: which calls go out now, which ones are looked at now. Every turn is leased and fenced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger import accounts, owner as owners
from consumer.ledger.calls import CallRow, call_from
from consumer.ledger.database import Database, db_now
from consumer.ledger.states import OPEN, CallState
from consumer.ledger.tables import calls, jobs
from schemas.accounts import Budget, ProviderLimits

_DIVERTED = 100
_POLLED = (CallState.WORKING.value, CallState.FETCHING.value, CallState.UNKNOWN.value)
# What has ended is never looked through: the index on due_at leads past it.
_LIVE = calls.c.due_at.is_not(None)


@dataclass(frozen=True, slots=True)
class ClaimedCall:
    """The right to act for one call until the lease runs out. Every write names the epoch."""

    call: CallRow
    epoch: int
    owner: str
    #: The database's clock at that moment.
    now: float


@dataclass(frozen=True, slots=True)
class Policies:
    """What bounds submissions: limits by provider, budgets by tenant, the price of a call in micro-dollars."""

    limits: Callable[[str], ProviderLimits]
    budgets: Mapping[str, Budget]
    price: Callable[[CallRow], int]
    #: Whether there are tenants. If not, ``tenant`` is the producer's text and earns nobody a budget of its own.
    tenants: bool = False

    def budget(self, tenant: str) -> Budget | None:
        """The tenant's budget: its own, or that of every tenant (``*``)."""
        return self.budgets.get(tenant, self.budgets.get("*"))

    def is_shared(self, tenant: str) -> bool:
        """Whether all that have no budget of their own spend this one together."""
        return not self.tenants and tenant not in self.budgets


def claim_queued(
    database: Database, policies: Policies, *, owner: str, lease_seconds: float, most: int
) -> tuple[list[ClaimedCall], list[tuple[ClaimedCall, str]]]:
    """The calls that go out now, and those that do not: over ``budget``, or another model is there (``breaker``).

    Their state is ``submitting`` with the price set aside, durably, before anything is sent: a crash from here
    on leaves an outcome that nobody knows. Nothing is written when nothing is due.
    """
    due = (calls.c.state == CallState.QUEUED.value, calls.c.due_at <= db_now())
    with database.read() as connection:
        providers = list(connection.execute(sa.select(calls.c.provider).where(*due).distinct()).scalars())
    if not providers:
        return [], []
    go: list[ClaimedCall] = []
    no: list[tuple[ClaimedCall, str]] = []
    with database.write(durable=True) as connection:
        accounts.lock_submissions(database, connection)
        now = float(connection.execute(sa.select(db_now())).scalar_one())
        shut = accounts.open_breakers(connection, now)
        for provider in sorted(providers):
            if provider in shut:
                no += _diverted(connection, provider, due, owner, now, lease_seconds, shut[provider])
                continue
            limits = policies.limits(provider)
            allowed = accounts.allowance(database, connection, provider, limits, now)
            room = min(allowed, most - len(go))
            if room <= 0:
                continue
            query = sa.select(calls).where(*due, calls.c.provider == provider, _job_goes_on())
            query = query.order_by(calls.c.urgency, calls.c.queued_at, calls.c.id).limit(room).with_for_update()
            sent = 0
            for row in connection.execute(query).mappings().all():
                call = call_from(row)
                price = policies.price(call)
                fits = _fits(connection, policies, call, price, now)
                turn = _lease(connection, call, owner, now, lease_seconds, price if fits else 0, submitting=fits)
                if fits:
                    go.append(turn)
                else:
                    no.append((turn, "budget"))
                sent += fits
            if sent:
                accounts.use_allowance(connection, provider, limits, now, sent)
    return go, no


def claimed_but_unconfirmed(database: Database, owner: str) -> list[ClaimedCall]:
    """The calls that ``claim_queued`` took for ``owner`` without its caller hearing of it: none was sent."""
    with database.write() as connection:
        accounts.lock_submissions(database, connection)  # a commit that is still being made is waited for
        query = sa.select(calls, db_now().label("now")).where(
            _LIVE, calls.c.lease_owner == owner, calls.c.state == CallState.SUBMITTING.value
        )
        rows = connection.execute(query).mappings().all()
    return [ClaimedCall(call_from(row), row["epoch"], owner, row["now"]) for row in rows]


def claim_due(database: Database, *, owner: str, lease_seconds: float, most: int) -> list[ClaimedCall]:
    """Calls to be polled, fetched, looked up or cancelled now, oldest first."""
    free = sa.or_(calls.c.lease_until.is_(None), calls.c.lease_until <= db_now())
    with database.read() as connection:
        ready = sa.select(calls.c.id).where(calls.c.due_at <= db_now(), calls.c.state.in_(_POLLED), free).limit(1)
        if connection.execute(ready).first() is None:
            return []
    with database.write() as connection:
        due = (
            sa.select(calls.c.id)
            .where(calls.c.due_at <= db_now(), calls.c.state.in_(_POLLED), free)
            .order_by(calls.c.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        statement = (
            sa.update(calls)
            .where(calls.c.id.in_(sa.select(due.c.id)))
            .values(lease_owner=owner, lease_until=db_now() + lease_seconds, epoch=calls.c.epoch + 1)
            .returning(calls, db_now().label("now"))
        )
        rows = connection.execute(statement).mappings().all()
    return [ClaimedCall(call_from(row), row["epoch"], owner, row["now"]) for row in rows]


def renew(database: Database, turns: Sequence[ClaimedCall], *, lease_seconds: float) -> None:
    """The turns that are still acted for live on. One that somebody else has by now stays theirs."""
    if not turns:
        return
    statement = (
        sa.update(calls)
        .where(calls.c.id == sa.bindparam("key"), calls.c.epoch == sa.bindparam("turn"))
        .where(calls.c.lease_owner == sa.bindparam("holder"))
        .values(lease_until=db_now() + lease_seconds)
    )
    rows = [{"key": turn.call.id, "turn": turn.epoch, "holder": turn.owner} for turn in turns]
    with database.write() as connection:
        connection.execute(statement, sorted(rows, key=lambda row: str(row["key"])))


def lost_submissions(database: Database) -> list[CallRow]:
    """Calls whose worker died, or lost its lease, between the intent and the receipt."""
    query = sa.select(calls, db_now().label("now")).where(_LIVE, calls.c.state == CallState.SUBMITTING.value)
    with database.read() as connection:
        rows: Sequence[sa.RowMapping] = connection.execute(query).mappings().all()
    return [
        call_from(row)
        for row in rows
        if row["lease_until"] is None or row["lease_until"] <= row["now"] or owners.is_gone(row["lease_owner"])
    ]


def release_dead_claims(database: Database) -> None:
    """Ends the turns of processes of this machine that no longer run."""
    held = sa.select(calls.c.id, calls.c.lease_owner, calls.c.epoch).where(
        _LIVE, calls.c.lease_owner.is_not(None), calls.c.state.in_(_POLLED)
    )
    with database.read() as connection:
        rows = [row for row in connection.execute(held.order_by(calls.c.id)) if owners.is_gone(row.lease_owner)]
    if rows:
        with database.write() as connection:
            for row in rows:
                connection.execute(
                    sa.update(calls)
                    .where(calls.c.id == row.id, calls.c.epoch == row.epoch, calls.c.lease_owner == row.lease_owner)
                    .values(lease_owner=None, lease_until=None, due_at=db_now())
                )


def _diverted(
    connection: Connection,
    provider: str,
    due: Sequence[sa.ColumnElement[bool]],
    owner: str,
    now: float,
    seconds: float,
    until: float,
) -> list[tuple[ClaimedCall, str]]:
    """Calls of a provider that does not answer, and which another model may take."""
    query = sa.select(calls).where(*due, calls.c.provider == provider, _job_goes_on()).order_by(calls.c.queued_at)
    rows = connection.execute(query.limit(_DIVERTED).with_for_update()).mappings().all()
    found = [call_from(row) for row in rows]
    # Those that only this provider can serve wait until it is tried again, and stand in nobody's way.
    alone = [call.id for call in found if len(call.order.candidates) == 1]
    connection.execute(sa.update(calls).where(calls.c.id.in_(alone)).values(due_at=until))
    others = [call for call in found if len(call.order.candidates) > 1]
    return [(_lease(connection, call, owner, now, seconds, 0, submitting=False), "breaker") for call in others]


def _job_goes_on() -> sa.ColumnElement[bool]:
    goes_on = [state.value for state in OPEN]
    return sa.select(jobs.c.id).where(jobs.c.id == calls.c.job_id, jobs.c.state.in_(goes_on)).exists()


def _fits(connection: Connection, policies: Policies, call: CallRow, price: int, now: float) -> bool:
    budget = policies.budget(call.tenant)
    if budget is None or price == 0:
        return True
    whose = calls.c.tenant == call.tenant
    if policies.is_shared(call.tenant):
        whose = calls.c.tenant.not_in(sorted(policies.budgets))
    spent = sa.select(sa.func.coalesce(sa.func.sum(calls.c.reserved + calls.c.spent), 0)).where(
        whose, calls.c.submitted_at >= budget.period_start(now)
    )
    return int(connection.execute(spent).scalar_one()) + price <= budget.micros


def _lease(
    connection: Connection, call: CallRow, owner: str, now: float, seconds: float, price: int, *, submitting: bool
) -> ClaimedCall:
    values: dict[str, object] = {"lease_owner": owner, "lease_until": now + seconds, "epoch": call.epoch + 1}
    if submitting:
        values |= {"state": CallState.SUBMITTING.value, "reserved": price, "submitted_at": now}
    connection.execute(sa.update(calls).where(calls.c.id == call.id).values(values))
    state = CallState.SUBMITTING if submitting else call.state
    return ClaimedCall(dataclasses.replace(call, state=state, reserved=price), call.epoch + 1, owner, now)
