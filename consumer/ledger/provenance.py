"""Who made a result and what it cost: from the job's calls, for the manifest and the callback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from consumer.ledger import calls
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.states import CallState
from schemas.callback import Cost


@dataclass(frozen=True, slots=True)
class Provenance:
    """The last model that delivered stands for the job, unless it only helped; the cost is that of all calls."""

    provider: str = "local"
    model: str | None = None
    version: str | None = None
    cost: Cost = field(default_factory=Cost)
    #: What the providers told: seed, prompt, title, ….
    details: Mapping[str, Any] = field(default_factory=dict)
    #: ``{"step", "provider", "model", "key", "task", "cost", "passed_over"}`` for each call that delivered.
    calls: tuple[Mapping[str, Any], ...] = ()


#: What a pipeline tells of a model that ran on this worker.
_LOCAL = ("model", "model_version", "seed")


def provenance_of(database: Database, job: Job, told: Mapping[str, Any] | None = None) -> Provenance:
    """The credits. A job that no provider delivered to has the local ones, with what the pipeline told of its model."""
    told = told or {}
    rows = calls.of_job(database, job.id)
    if not rows:
        return _local(told, Provenance())
    delivered = [row for row in rows if row.state is CallState.DONE]
    # A call as another type made something on the way: a prompt, the times of words.
    own = [row for row in delivered if row.order.type == job.type]
    details: dict[str, Any] = {}
    for row in own:
        details |= (row.result or {}).get("details") or {}
    last = own[-1] if own else None
    credit = Provenance(
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
    return credit if last is not None else _local(told, credit)


def spent_on(database: Database, job_id: str) -> Cost | None:
    """What the job's calls have cost so far, for a job that ends without its result; ``None`` where nothing."""
    micros = sum(row.spent for row in calls.of_job(database, job_id))
    return Cost(amount=dollars(micros)) if micros else None


def _local(told: Mapping[str, Any], credit: Provenance) -> Provenance:
    if "model" not in told:
        return credit
    version = told.get("model_version")
    return replace(
        credit,
        model=str(told["model"]),
        version=None if version is None else str(version),
        details={**credit.details, **{name: told[name] for name in _LOCAL if name in told}},
    )


def dollars(micros: int) -> str:
    """Millionths of a US dollar as dollars: cents at least, and no digit more than needed."""
    whole, part = divmod(micros, 1_000_000)
    return f"{whole}.{f'{part:06}'.rstrip('0').ljust(2, '0')}"
