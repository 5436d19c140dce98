"""Callbacks: the list, and one of them."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from consumer.ledger.browsing import list_deliveries
from consumer.ledger.queries import find_delivery, find_job, timeline_of
from consumer.ledger.records import Delivery
from consumer.ledger.states import DeliveryState
from ops.dashboard.view import View
from ops.edge.refusal import Refusal
from ops.timeline.sentences import timeline_sentences
from ops.views import scrubbed
from schemas.errors import InvalidField

_ROWS = 50


def page(view: View) -> Response:
    """Return the newest callbacks, optionally in one state."""
    view.require_operator()
    state = view.query.get("state") or None
    if state is not None and state not in set(DeliveryState):
        raise InvalidField(f"state: must be one of {', '.join(DeliveryState)}", field="state")
    job_id, before = view.query.get("job") or None, _before(view.query.get("before", ""))
    found = list_deliveries(view.database, state=state, job_id=job_id, before=before, limit=_ROWS + 1)
    last = found[_ROWS - 1] if len(found) > _ROWS else None
    return view.render(
        "callbacks.html",
        rows=found[:_ROWS],
        state=state,
        job_id=job_id,
        counts=view.dashboard.overview.get().callbacks,
        states=[one.value for one in DeliveryState],
        older=None if last is None else f"{last.created_at!r}_{last.id}",
        now=view.database.now(),
    )


def one(view: View) -> Response:
    """Return one callback with its attempts and its body."""
    delivery = find_delivery(view.database, str(view.parameters["webhook_id"]))
    job = None if delivery is None or delivery.job_id is None else find_job(view.database, delivery.job_id)
    seen = view.visitor.tenant is None or (job is not None and view.visitor.may_see(job))
    if delivery is None or not seen:
        raise Refusal(404, "callback_not_found", "There is no such callback; its job may have been deleted.")
    entries = [] if job is None else timeline_of(view.database, job.id)
    lines = timeline_sentences(entries, delivery.created_at if job is None else job.received_at)
    return view.render(
        "callback.html",
        item=delivery,
        attempts=[line for line in lines if line.entry.detail.get("webhook_id") == delivery.id],
        body=_body(delivery),
        now=view.database.now(),
    )


def _body(delivery: Delivery) -> Any:
    try:
        return json.dumps(scrubbed(json.loads(delivery.body)), indent=2, ensure_ascii=False)
    except ValueError:
        return delivery.body.decode(errors="replace")


def _before(text: str) -> tuple[float, str] | None:
    at, _, webhook_id = text.partition("_")
    try:
        return (float(at), webhook_id) if webhook_id else None
    except ValueError:
        return None
