"""Who made a result and what it cost: from the job's calls, for the manifest and the callback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from consumer.ledger import calls
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.states import CallState
from schemas.callback import Cost


@dataclass(frozen=True, slots=True)
class Credits:
    """The last model that delivered stands for the job, unless it only helped; the cost is that of all calls."""

    provider: str = "local"
    model: str | None = None
    version: str | None = None
    cost: Cost = field(default_factory=Cost)
    #: What the providers told: seed, prompt, title, ….
    details: Mapping[str, Any] = field(default_factory=dict)
    #: ``{"step", "provider", "model", "key", "task", "cost", "passed_over"}`` for each call that delivered.
    calls: tuple[Mapping[str, Any], ...] = ()


def credits_of(database: Database, job: Job) -> Credits:
    """The credits. A job that asked no provider has the local ones."""
    rows = calls.of_job(database, job.id)
    if not rows:
        return Credits()
    delivered = [row for row in rows if row.state is CallState.DONE]
    # A call as another type made something on the way: a prompt, the times of words.
    own = [row for row in delivered if row.order.type == job.type]
    details: dict[str, Any] = {}
    for row in own:
        details |= (row.result or {}).get("details") or {}
    last = own[-1] if own else None
    return Credits(
        provider="local" if last is None else last.provider,
        model=None if last is None else last.model,
        version=None if details.get("version") is None else str(details["version"]),
        cost=Cost(amount=dollars(sum(row.spent for row in rows))),
        details=details,
        calls=tuple(
            {
                "step": row.step,
                "provider": row.provider,
                "model": row.model,
                "key": row.id,
                "task": None if row.task is None else row.task["id"],
                "cost": dollars(row.spent),
                "passed_over": list(row.order.losers),
            }
            for row in delivered
        ),
    )


def dollars(micros: int) -> str:
    """Millionths of a US dollar as dollars: cents at least, and no digit more than needed."""
    whole, part = divmod(micros, 1_000_000)
    return f"{whole}.{f'{part:06}'.rstrip('0').ljust(2, '0')}"
