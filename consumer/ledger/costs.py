"""What calls of providers have cost, by tenant, model and day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from consumer.ledger.database import Database
from consumer.ledger.states import SETTLED, CallState
from consumer.ledger.tables import calls

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """The calls of one tenant and model that were submitted on one day."""

    #: Days since 1970-01-01, in UTC.
    day: int
    tenant: str
    provider: str
    model: str
    calls: int
    #: Calls with a result and without a cost.
    without_cost: int
    #: Millionths of a US dollar, spent by calls that have ended and reserved for the others.
    spent: int
    reserved: int


def list_costs(database: Database, *, since: float, until: float, tenant: str | None = None) -> Sequence[CostRow]:
    """Return what calls submitted from ``since`` to before ``until`` have cost, also of jobs that were deleted."""
    c = calls.c
    day = sa.cast(c.submitted_at / _DAY_SECONDS, sa.Integer)  # SQLite cuts off the fraction
    if database.dialect == "postgresql":
        day = sa.cast(sa.func.floor(c.submitted_at / sa.literal_column(str(_DAY_SECONDS))), sa.Integer)
    keys = (day.label("day"), c.tenant, c.provider, c.model)
    free = sa.and_(c.state == CallState.DONE.value, c.spent == 0)
    settled = c.state.in_([state.value for state in SETTLED])
    query = (
        sa.select(
            *keys,
            sa.func.count().label("calls"),
            sa.func.sum(sa.case((free, 1), else_=0)).label("without_cost"),
            sa.func.sum(c.spent).label("spent"),
            sa.func.sum(c.reserved).label("reserved"),
        )
        .where(c.submitted_at >= since, c.submitted_at < until, sa.or_(settled, c.reserved > 0, c.due_at.is_not(None)))
        .group_by(*(sa.literal_column("day") if key is keys[0] else key for key in keys))
    )
    if tenant is not None:
        query = query.where(c.tenant == tenant)
    with database.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        CostRow(
            day=row["day"],
            tenant=row["tenant"],
            provider=row["provider"],
            model=row["model"],
            calls=row["calls"],
            without_cost=int(row["without_cost"]),
            spent=int(row["spent"]),
            reserved=int(row["reserved"]),
        )
        for row in rows
    ]
