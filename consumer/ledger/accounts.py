"""Provider accounts, shared by all workers: their pace, their circuit breaker, and what they were asked to wait.

The breaker follows the usual three states (M. Nygard, "Release It!"): closed lets calls through; after some
failures in a row it opens and lets none through for a while; then it is half open and lets a single one through,
whose outcome decides. It guards submissions; what is already paid for is always polled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consumer.ledger.database import Database, db_now
from consumer.ledger.states import CallState
from consumer.ledger.tables import accounts, calls
from schemas.accounts import ProviderLimits

# Who holds this row decides which calls go out; everybody else waits a moment. So no limit is passed by two at once.
_GATE = "*"
_OUT = (CallState.SUBMITTING.value, CallState.WORKING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is known of one provider's account."""

    provider: str
    breaker: str
    failures: int
    open_until: float
    paused_until: float
    last_error: str | None


def lock_submissions(database: Database, connection: Connection) -> None:
    """Makes this transaction the only one that lets calls out, until it ends."""
    connection.execute(_insert(database, _GATE, 0.0))
    connection.execute(sa.select(accounts.c.provider).where(accounts.c.provider == _GATE).with_for_update()).all()


def allowance(database: Database, connection: Connection, provider: str, limits: ProviderLimits, now: float) -> int:
    """How many calls of the provider may go out now. ``use_allowance`` in the same transaction, behind the gate."""
    connection.execute(_insert(database, provider, limits.burst, now))
    row = connection.execute(sa.select(accounts).where(accounts.c.provider == provider)).mappings().one()
    if row["paused_until"] > now or (row["breaker"] != "closed" and row["open_until"] > now):
        return 0
    out = sa.select(sa.func.count()).where(calls.c.provider == provider, calls.c.state.in_(_OUT))
    places = max(0, limits.concurrency - int(connection.execute(out).scalar_one()))
    if row["breaker"] != "closed":
        return min(1, places)
    return min(places, math.floor(_tokens(row["tokens"], row["tokens_at"], limits, now)))


def use_allowance(connection: Connection, provider: str, limits: ProviderLimits, now: float, count: int) -> None:
    """Takes ``count`` of the allowance. A breaker that was open is half open now: one call is on trial."""
    row = connection.execute(sa.select(accounts).where(accounts.c.provider == provider)).mappings().one()
    values: dict[str, object] = {
        "tokens": _tokens(row["tokens"], row["tokens_at"], limits, now) - count,
        "tokens_at": now,
    }
    if row["breaker"] != "closed":
        # Should the trial be lost with its worker, there is another one after this time.
        values |= {"breaker": "half", "open_until": now + limits.breaker_seconds}
    connection.execute(sa.update(accounts).where(accounts.c.provider == provider).values(values))


def record_answer(connection: Connection, provider: str) -> None:
    """The provider answered: whatever it was, it is there."""
    troubled = sa.or_(accounts.c.failures > 0, accounts.c.breaker != "closed")
    connection.execute(
        sa.update(accounts)
        .where(accounts.c.provider == provider, troubled)
        .values(failures=0, breaker="closed", open_until=0.0)
    )


def record_failure(connection: Connection, provider: str, limits: ProviderLimits, why: str) -> None:
    """The provider could not be reached or broke down. Enough of these in a row open the breaker."""
    opens = sa.or_(accounts.c.failures + 1 >= limits.breaker_failures, accounts.c.breaker == "half")
    connection.execute(
        sa.update(accounts)
        .where(accounts.c.provider == provider)
        .values(
            failures=accounts.c.failures + 1,
            breaker=sa.case((opens, "open"), else_=accounts.c.breaker),
            open_until=sa.case((opens, db_now() + limits.breaker_seconds), else_=accounts.c.open_until),
            last_error=why[:255],
        )
    )


def pause(connection: Connection, provider: str, seconds: float, why: str) -> None:
    """The provider asked for silence. A shorter request does not shorten a longer one."""
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
    """The providers whose breaker lets nothing through now, and until when."""
    query = sa.select(accounts.c.provider, accounts.c.open_until).where(accounts.c.breaker == "open")
    return {row.provider: row.open_until for row in connection.execute(query.where(accounts.c.open_until > now))}


def list_accounts(database: Database) -> list[Account]:
    """Every account that was ever used."""
    names = (field for field in Account.__slots__)
    query = sa.select(*(accounts.c[name] for name in names)).where(accounts.c.provider != _GATE)
    with database.read() as connection:
        return [Account(**row) for row in connection.execute(query.order_by(accounts.c.provider)).mappings()]


def _insert(database: Database, provider: str, tokens: float, at: float = 0.0) -> sa.Insert:
    statement: sa.Insert = (
        database.insert(accounts)
        .values(provider=provider, tokens=tokens, tokens_at=at, breaker="closed", failures=0, open_until=0.0)
        .on_conflict_do_nothing(index_elements=["provider"])
    )
    return statement


def _tokens(tokens: float, at: float, limits: ProviderLimits, now: float) -> float:
    return min(limits.burst, tokens + max(0.0, now - at) * limits.rate_per_minute / 60.0)
