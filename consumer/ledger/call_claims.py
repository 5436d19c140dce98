"""Claiming calls: which are submitted now, and which are polled, fetched, looked up or cancelled now.

A claim is leased, and every write under it is fenced by its epoch.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger import accounts, call_turns, owner as owners
from consumer.ledger.call_records import CallRow, call_from, lock_order, read_calls
from consumer.ledger.database import Database, db_now
from consumer.ledger.pauses import PauseKind, paused_names
from consumer.ledger.states import CallState
from consumer.ledger.tables import calls
from consumer.ledger.turns import Turns
from schemas.accounts import Budget, ProviderLimits

#: How many calls of a provider with an open breaker are given to other models at once.
_DIVERTED = 100
#: How long a call that this version cannot read is left to engines of a newer version before it is looked at again.
_LEFT_SECONDS = 10.0
_POLLED = (CallState.WORKING.value, CallState.FETCHING.value, CallState.UNKNOWN.value)
# Lets the index on due_at skip calls that have ended.
_LIVE = calls.c.due_at.is_not(None)


@dataclass(frozen=True, slots=True)
class ClaimedCall:
    """The right to act for one call until the lease expires. Every write names the epoch."""

    #: The call, in the state that its row has after the claim.
    call: CallRow
    epoch: int
    owner: str
    #: The database's time of the claim.
    now: float


class RefusalReason(enum.Enum):
    """Why a queued call is not submitted."""

    #: It would exceed a budget.
    BUDGET = "budget"
    #: Its provider's circuit breaker is open, and another model may serve it.
    BREAKER = "breaker"


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A queued call that is not to be submitted. It is claimed, to be failed."""

    claimed: ClaimedCall
    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class SubmissionPolicy:
    """What limits submissions: limits by provider, budgets by tenant, and the price of a call in micro-dollars."""

    limits: Callable[[str], ProviderLimits]
    budgets: Mapping[str, Budget]
    price: Callable[[CallRow], int]
    #: Whether tenants are configured. If not, ``tenant`` is free text from the producer and gets no budget of its own.
    tenants: bool = False
    #: Whether another model may serve the call now.
    has_other: Callable[[CallRow], bool] = lambda call: len(call.spec.candidates) > 1
    #: The turns that the tenants take at each provider.
    turns: Turns = field(default_factory=Turns)

    def budget(self, tenant: str) -> Budget | None:
        """Return the tenant's own budget, or the one for every tenant (``*``)."""
        return self.budgets.get(tenant, self.budgets.get("*"))

    def is_shared(self, tenant: str) -> bool:
        """Return whether all tenants without a budget of their own share one."""
        return not self.tenants and tenant not in self.budgets


@dataclass(frozen=True, slots=True)
class _Claimant:
    """Who claims in this transaction, from when and for how long."""

    owner: str
    now: float
    lease_seconds: float


def claim_queued(
    database: Database, policy: SubmissionPolicy, *, owner: str, lease_seconds: float, most: int
) -> tuple[list[ClaimedCall], list[RefusedCall]]:
    """Claim the calls to submit now, and those that must not be submitted.

    The former are durably ``submitting``, with their price reserved, before anything is sent: if the process dies
    from here on, the outcome is unknown. If no call is due, nothing is written.
    """
    paused = calls.c.provider.in_(paused_names(PauseKind.PROVIDER))
    due = (_LIVE, calls.c.state == CallState.QUEUED.value, calls.c.due_at <= db_now(), sa.not_(paused))
    with database.read() as connection:
        providers = list(connection.execute(sa.select(calls.c.provider).where(*due).distinct()).scalars())
    claimed: list[ClaimedCall] = []
    refused: list[RefusedCall] = []
    if not providers:
        return claimed, refused
    with database.write(durable=True) as connection:
        accounts.lock_submissions(database, connection)
        claimant = _Claimant(owner, float(connection.execute(sa.select(db_now())).scalar_one()), lease_seconds)
        open_breakers = accounts.open_breakers(connection, claimant.now)
        for provider in sorted(providers):
            of_provider = (*due, calls.c.provider == provider, call_turns.job_is_open())
            if provider in open_breakers:
                refused += _divert(connection, policy, of_provider, claimant, open_breakers[provider])
                continue
            limits = policy.limits(provider)
            allowance = accounts.allowance(database, connection, provider, limits, claimant.now)
            room = min(allowance, most - len(claimed))
            if room <= 0:
                continue
            ids = call_turns.next_ids(connection, provider, room, policy.turns)
            submitted, over_budget = _claim_in_turn(connection, policy, claimant, ids)
            if submitted:
                accounts.use_allowance(connection, provider, limits, claimant.now, len(submitted))
            claimed += submitted
            refused += over_budget
    return claimed, refused


def claimed_but_unconfirmed(database: Database, owner: str) -> list[ClaimedCall]:
    """Return the calls that ``claim_queued`` claimed for ``owner`` although its commit was not confirmed.

    None of them was sent, because the caller did not learn of them.
    """
    with database.write() as connection:
        accounts.lock_submissions(database, connection)  # waits for a commit that is still in progress
        query = sa.select(calls, db_now().label("now")).where(
            _LIVE, calls.c.lease_owner == owner, calls.c.state == CallState.SUBMITTING.value
        )
        rows = connection.execute(query).mappings().all()
    return [ClaimedCall(call_from(row), row["epoch"], owner, row["now"]) for row in rows]


def claim_due(database: Database, *, owner: str, lease_seconds: float, most: int) -> list[ClaimedCall]:
    """Claim calls to be polled, fetched, looked up or cancelled now, oldest first."""
    unleased = sa.or_(calls.c.lease_until.is_(None), calls.c.lease_until <= db_now())
    is_due = (_LIVE, calls.c.due_at <= db_now(), calls.c.state.in_(_POLLED), unleased)
    with database.read() as connection:
        if connection.execute(sa.select(calls.c.id).where(*is_due).limit(1)).first() is None:
            return []
    with database.write() as connection:
        due = (
            sa.select(calls.c.id)
            .where(*is_due)
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
        readable, others = read_calls(rows)
        _leave(connection, others)
    now = {row["id"]: row["now"] for row in rows}
    return [ClaimedCall(call, call.epoch, owner, now[call.id]) for call in readable]


def renew(database: Database, claims: Sequence[ClaimedCall], *, lease_seconds: float) -> None:
    """Extend the leases. Claims that were lost are left alone."""
    if not claims:
        return
    statement = (
        sa.update(calls)
        .where(calls.c.id == sa.bindparam("key"), calls.c.epoch == sa.bindparam("claim"))
        .where(calls.c.lease_owner == sa.bindparam("holder"))
        .values(lease_until=db_now() + lease_seconds)
    )
    ordered = sorted(claims, key=lambda claimed: lock_order(claimed.call))
    rows = [{"key": claimed.call.id, "claim": claimed.epoch, "holder": claimed.owner} for claimed in ordered]
    with database.write() as connection:
        connection.execute(statement, rows)


def lost_submissions(database: Database) -> list[CallRow]:
    """Return the calls whose engine died, or lost its lease, between the intent and the outcome."""
    query = sa.select(calls, db_now().label("now")).where(_LIVE, calls.c.state == CallState.SUBMITTING.value)
    with database.read() as connection:
        rows: Sequence[sa.RowMapping] = connection.execute(query).mappings().all()
    lost = [
        row
        for row in rows
        if row["lease_until"] is None or row["lease_until"] <= row["now"] or owners.is_gone(row["lease_owner"])
    ]
    return read_calls(lost)[0]


def release_dead_claims(database: Database) -> None:
    """Release the claims of processes of this machine that no longer run."""
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


def _claim_in_turn(
    connection: Connection, policy: SubmissionPolicy, claimant: _Claimant, ids: Sequence[str]
) -> tuple[list[ClaimedCall], list[RefusedCall]]:
    """Claim these due calls of one provider; those over budget are refused."""
    query = sa.select(calls).where(calls.c.id.in_(ids)).with_for_update()
    claimed: list[ClaimedCall] = []
    refused: list[RefusedCall] = []
    # Not those that were cancelled before they were locked.
    rows = [row for row in connection.execute(query).mappings() if row["state"] == CallState.QUEUED.value]
    readable, others = read_calls(sorted(rows, key=lambda row: ids.index(row["id"])))
    _leave(connection, others)
    for call in readable:
        price = policy.price(call)
        if _within_budget(connection, policy, call, price, claimant.now):
            claimed.append(_claim_for_submission(connection, call, claimant, price))
        else:
            refused.append(RefusedCall(_lease(connection, call, claimant), RefusalReason.BUDGET))
    return claimed, refused


def _divert(
    connection: Connection,
    policy: SubmissionPolicy,
    of_provider: Sequence[sa.ColumnElement[bool]],
    claimant: _Claimant,
    open_until: float,
) -> list[RefusedCall]:
    """Claim the calls of a provider with an open breaker that a model of another provider may serve now."""
    query = sa.select(calls).where(*of_provider).order_by(calls.c.queued_at).limit(_DIVERTED).with_for_update()
    found, others = read_calls(connection.execute(query).mappings().all())
    _leave(connection, others)
    # The others wait for the provider. They are not due until then, so they do not use up the limit above.
    paused = set(connection.execute(paused_names(PauseKind.PROVIDER)).scalars())
    diverted = [call for call in found if policy.has_other(call) and _has_unpaused(call, paused)]
    only_here = [call.id for call in found if call not in diverted]
    connection.execute(sa.update(calls).where(calls.c.id.in_(only_here)).values(due_at=open_until))
    return [RefusedCall(_lease(connection, call, claimant), RefusalReason.BREAKER) for call in diverted]


def _has_unpaused(call: CallRow, paused: Collection[str]) -> bool:
    return any(candidate.provider not in paused for candidate in call.spec.candidates[1:])


def _leave(connection: Connection, ids: Sequence[str]) -> None:
    """Leave calls to an engine that can read them. Without the delay they would use up the limit of every claim."""
    if ids:
        free = {"lease_owner": None, "lease_until": None, "due_at": db_now() + _LEFT_SECONDS}
        connection.execute(sa.update(calls).where(calls.c.id.in_(ids)).values(free))


def _within_budget(connection: Connection, policy: SubmissionPolicy, call: CallRow, price: int, now: float) -> bool:
    budget = policy.budget(call.tenant)
    if budget is None or price == 0:
        return True
    same_budget = calls.c.tenant == call.tenant
    if policy.is_shared(call.tenant):
        same_budget = calls.c.tenant.not_in(sorted(policy.budgets))
    spent = sa.select(sa.func.coalesce(sa.func.sum(calls.c.reserved + calls.c.spent), 0)).where(
        same_budget, calls.c.submitted_at >= budget.period_start(now)
    )
    return int(connection.execute(spent).scalar_one()) + price <= budget.micros


def _claim_for_submission(connection: Connection, call: CallRow, claimant: _Claimant, price: int) -> ClaimedCall:
    intent = {"state": CallState.SUBMITTING.value, "reserved": price, "submitted_at": claimant.now}
    submitting = dataclasses.replace(call, state=CallState.SUBMITTING, reserved=price)
    return _lease(connection, submitting, claimant, intent)


def _lease(
    connection: Connection, call: CallRow, claimant: _Claimant, changes: Mapping[str, object] | None = None
) -> ClaimedCall:
    epoch = call.epoch + 1
    lease = {"lease_owner": claimant.owner, "lease_until": claimant.now + claimant.lease_seconds, "epoch": epoch}
    connection.execute(sa.update(calls).where(calls.c.id == call.id).values({**lease, **(changes or {})}))
    return ClaimedCall(call, epoch, claimant.owner, claimant.now)
