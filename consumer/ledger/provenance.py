"""Which model made a result and what it cost, for the manifest and the callback."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from consumer.ledger import calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.states import CallState
from schemas.callback import Cost
from schemas.money import format_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProvenance:
    """A call that returned a result, as the manifest lists it."""

    step: str
    provider: str
    model: str
    key: str
    #: The task's id at the provider.
    task: str | None
    #: US dollars; ``None`` if unknown.
    cost: str | None
    #: ``{"model", "why"}`` of each model that was skipped.
    passed_over: list[dict[str, str]]

    def as_record(self) -> dict[str, Any]:
        """Return the call as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The model that made a job's result, and the cost of all its calls.

    If several models made something, it is the last one. Models that only helped, with a prompt for instance, do not
    count.
    """

    provider: str = "local"
    model: str | None = None
    version: str | None = None
    cost: Cost = field(default_factory=Cost)
    #: What the providers reported: seed, prompt, title, ….
    details: Mapping[str, Any] = field(default_factory=dict)
    calls: tuple[CallProvenance, ...] = ()


#: The annotations of a pipeline about a model that ran on this worker.
_LOCAL = ("model", "model_version", "seed")


def provenance_of(
    job: Job, rows: Sequence[CallRow], annotations: Mapping[str, Any] | None = None, *, free: Collection[str] = ()
) -> Provenance:
    """Return the provenance of the job's result, given all its calls.

    If no provider made it, the model is the one that ran on this worker, according to the pipeline's ``annotations``.
    ``free`` are the models whose calls cost nothing.
    """
    annotations = annotations or {}
    done = [row for row in rows if row.state is CallState.DONE]
    # A call under another type returned an intermediate product: a prompt, or the times of words.
    own = [row for row in done if row.spec.type == job.type]
    details: dict[str, Any] = {}
    for row in own:
        details |= row.result.details if row.result is not None else {}
    version = details.get("version")
    provenance = Provenance(
        provider=own[-1].provider if own else "local",
        model=own[-1].model if own else None,
        version=None if version is None else str(version),
        cost=sum_of_costs(rows, free),
        details=details,
        calls=tuple(_call_provenance(row, free) for row in done),
    )
    return provenance if own else _with_local_model(provenance, annotations)


def spent_on(database: Database, job_id: str, *, free: Collection[str] = ()) -> Cost | None:
    """Return the cost of the calls of a job that ends without a result, or ``None`` if it is zero."""
    cost = sum_of_costs(calls.of_job(database, job_id), free)
    return None if cost.amount == "0.00" else cost


def cost_unknown(row: CallRow, free: Collection[str]) -> bool:
    """Return whether the call gave a result at an unknown price."""
    return row.state is CallState.DONE and row.spent == 0 and row.model not in free


def sum_of_costs(rows: Sequence[CallRow], free: Collection[str]) -> Cost:
    """Return the cost of the calls together; its amount is ``None`` if that of one is unknown."""
    unknown = any(cost_unknown(row, free) for row in rows)
    return Cost(amount=None if unknown else format_micros(sum(row.spent for row in rows)))


def _call_provenance(row: CallRow, free: Collection[str]) -> CallProvenance:
    return CallProvenance(
        step=row.step,
        provider=row.provider,
        model=row.model,
        key=row.id,
        task=None if row.task is None else row.task.id,
        cost=None if cost_unknown(row, free) else format_micros(row.spent),
        passed_over=[skipped.to_stored() for skipped in row.spec.skipped_models],
    )


def _with_local_model(provenance: Provenance, annotations: Mapping[str, Any]) -> Provenance:
    if "model" not in annotations:
        return provenance
    version = annotations.get("model_version")
    return replace(
        provenance,
        model=str(annotations["model"]),
        version=None if version is None else str(version),
        details={**provenance.details, **{name: annotations[name] for name in _LOCAL if name in annotations}},
    )
