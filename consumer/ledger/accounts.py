"""Provider accounts, shared by all workers: rate limit, circuit breaker and the pause a provider asked for.

The circuit breaker has the usual three states: closed, calls pass; open after several consecutive failures, no call
passes for a while; then half-open, one trial call passes and its outcome decides. It guards submissions only: a task
that is already paid for is always polled.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now
from consumer.ledger.states import CallState
from consumer.ledger.tables import accounts, calls
from schemas.accounts import ProviderLimits

# A row that serialises submissions across all engines, so that two of them cannot exceed a limit together.
_GATE = "*"
_IN_FLIGHT = (CallState.SUBMITTING.value, CallState.WORKING.value)


class BreakerState(enum.StrEnum):
    """State of a circuit breaker, as stored."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half"


# Built once: building a statement costs more than sending it.
_ANSWERED = (
    sa.update(accounts)
    .where(accounts.c.provider == sa.bindparam("answered"))
    .where(sa.or_(accounts.c.failures > 0, accounts.c.breaker != BreakerState.CLOSED.value))
    .values(failures=0, breaker=BreakerState.CLOSED.value, open_until=0.0)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The state of one provider's account."""

    provider: str
    breaker: BreakerState
    failures: int
    open_until: float
    paused_until: float
    last_error: str | None


def lock_submissions(database: Database, connection: Connection) -> None:
    """Lock submissions until this transaction ends."""
    connection.execute(_insert(database, _GATE, 0.0))
    connection.execute(sa.select(accounts.c.provider).where(accounts.c.provider == _GATE).with_for_update()).all()


def allowance(database: Database, connection: Connection, provider: str, limits: ProviderLimits, now: float) -> int:
    """Return how many calls may be submitted now. Call ``use_allowance`` in the same transaction, under the lock."""
    connection.execute(_insert(database, provider, limits.burst, now))
    row = connection.execute(sa.select(accounts).where(accounts.c.provider == provider)).mappings().one()
    if row["paused_until"] > now or (row["breaker"] != BreakerState.CLOSED and row["open_until"] > now):
        return 0
    in_flight = sa.select(sa.func.count()).where(calls.c.provider == provider, calls.c.state.in_(_IN_FLIGHT))
    free = max(0, limits.concurrency - int(connection.execute(in_flight).scalar_one()))
    if row["breaker"] != BreakerState.CLOSED:
        return min(1, free)
    return min(free, math.floor(_tokens(row["tokens"], row["tokens_at"], limits, now)))


def use_allowance(connection: Connection, provider: str, limits: ProviderLimits, now: float, count: int) -> None:
    """Take ``count`` from the allowance. A breaker that was open becomes half-open: the call is its trial."""
    row = connection.execute(sa.select(accounts).where(accounts.c.provider == provider)).mappings().one()
    values: dict[str, object] = {
        "tokens": _tokens(row["tokens"], row["tokens_at"], limits, now) - count,
        "tokens_at": now,
    }
    if row["breaker"] != BreakerState.CLOSED:
        # If the trial call is lost with its worker, another one may go out after this time.
        values |= {"breaker": BreakerState.HALF_OPEN.value, "open_until": now + limits.breaker_seconds}
    connection.execute(sa.update(accounts).where(accounts.c.provider == provider).values(values))


def record_answer(connection: Connection, provider: str) -> None:
    """Close the breaker: the provider is up, whether or not it accepted the request."""
    connection.execute(_ANSWERED, {"answered": provider})


def record_failure(connection: Connection, provider: str, limits: ProviderLimits, why: str) -> None:
    """Count a failure. Enough consecutive ones open the breaker, as does one in the trial call."""
    opens = sa.or_(
        accounts.c.failures + 1 >= limits.breaker_failures, accounts.c.breaker == BreakerState.HALF_OPEN.value
    )
    connection.execute(
        sa.update(accounts)
        .where(accounts.c.provider == provider)
        .values(
            failures=accounts.c.failures + 1,
            breaker=sa.case((opens, BreakerState.OPEN.value), else_=accounts.c.breaker),
            open_until=sa.case((opens, db_now() + limits.breaker_seconds), else_=accounts.c.open_until),
            last_error=why[:255],
        )
    )


def pause(connection: Connection, provider: str, seconds: float, why: str) -> None:
    """Send nothing to the provider for ``seconds``. A shorter pause does not replace a longer one."""
    until = db_now() + seconds
    connection.execute(
        sa.update(accounts)
        .where(accounts.c.provider == provider)
        .values(
            paused_until=sa.case((accounts.c.paused_until > until, accounts.c.paused_until), else_=until),
            last_error=why[:255],
        )
    )


def open_breakers(connection: Connection, now: float) -> dict[str, float]:
    """Return the providers whose breaker is open now, with the time it stays open."""
    query = sa.select(accounts.c.provider, accounts.c.open_until).where(accounts.c.breaker == BreakerState.OPEN.value)
    return {row.provider: row.open_until for row in connection.execute(query.where(accounts.c.open_until > now))}


def list_accounts(database: Database) -> list[Account]:
    """Return every account that has been used."""
    names = (field for field in Account.__slots__)
    query = sa.select(*(accounts.c[name] for name in names)).where(accounts.c.provider != _GATE)
    with database.read() as connection:
        rows = connection.execute(query.order_by(accounts.c.provider)).mappings().all()
    return [Account(**{**row, "breaker": BreakerState(row["breaker"])}) for row in rows]


def _insert(database: Database, provider: str, tokens: float, at: float = 0.0) -> sa.Insert:
    statement: sa.Insert = (
        database.insert(accounts)
        .values(
            provider=provider,
            tokens=tokens,
            tokens_at=at,
            breaker=BreakerState.CLOSED.value,
            failures=0,
            open_until=0.0,
        )
        .on_conflict_do_nothing(index_elements=["provider"])
    )
    return statement


def _tokens(tokens: float, at: float, limits: ProviderLimits, now: float) -> float:
    return min(limits.burst, tokens + max(0.0, now - at) * limits.rate_per_minute / 60.0)
