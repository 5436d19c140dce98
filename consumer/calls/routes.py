"""Which candidates may follow a failed call: models that the request names, and routes that the catalogue adds.

A route makes the same result at another provider, for a charge of its own. It is tried only if nothing was accepted
before it, and only if its provider is set up here.
"""

from __future__ import annotations

from collections.abc import Sequence

from consumer.calls.provider_pool import ProviderPool
from consumer.ledger import queries
from consumer.ledger.call_records import CallRow
from consumer.ledger.call_request import Candidate
from consumer.runtime import Runtime
from providers.catalogue import billable_seconds


def candidates_after_refusal(runtime: Runtime, providers: ProviderPool, call: CallRow) -> Sequence[Candidate]:
    """Return the candidates to try after a call that its provider certainly did not accept."""
    rest = call.spec.candidates[1:]
    routes = _routes(runtime, call) if rest else set()
    return [item for item in rest if item.model.lower() not in routes or providers.is_set_up(item.provider)]


def candidates_within_budget(runtime: Runtime, providers: ProviderPool, call: CallRow) -> Sequence[Candidate]:
    """Return the candidates to try after a call that would have exceeded a budget.

    A route without a price is none of them: no budget could stop it.
    """
    named = named_candidates(runtime, call)
    return [
        item
        for item in candidates_after_refusal(runtime, providers, call)
        if item in named or _price(runtime, call, item) > 0
    ]


def named_candidates(runtime: Runtime, call: CallRow) -> Sequence[Candidate]:
    """Return the candidates to try after a call that its provider accepted: only models that the request names."""
    rest = call.spec.candidates[1:]
    routes = _routes(runtime, call) if rest else set()
    if not any(item.model.lower() in routes for item in rest):
        return rest
    job = queries.find_job(runtime.database, call.job_id)
    names = () if job is None else getattr(job.parsed().data, "models", ())
    named = {str(name).lower() for name in names}
    return [item for item in rest if item.model.lower() not in routes or item.model.lower() in named]


def _price(runtime: Runtime, call: CallRow, item: Candidate) -> int:
    model = runtime.catalogue.find(item.model, call.spec.type)
    return model.cost(billable_seconds(item.parameters, call.spec.media_seconds), item.parameters) or 0


def _routes(runtime: Runtime, call: CallRow) -> set[str]:
    """Return the routes of the call's model and of those before it."""
    before = [skipped.model for skipped in call.spec.skipped_models]
    routes: set[str] = runtime.catalogue.routes_of([*before, call.model])
    return routes
