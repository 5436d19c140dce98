"""The page of one job: its timeline, results, calls, callbacks and request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from consumer.ledger import calls
from consumer.ledger.browsing import list_deliveries, timeline_ends
from consumer.ledger.call_records import CallRow
from consumer.ledger.provenance import cost_unknown, sum_of_costs
from consumer.ledger.records import Job
from consumer.ledger.states import RETRYABLE, CallState
from ops.dashboard.view import View
from ops.dashboard.waterfall import bars, spans_of
from ops.timeline.sentences import timeline_sentences
from ops.views import job_view, request_view
from ops.waiting_on import waiting_on
from schemas.money import format_micros

#: Of a longer timeline the middle is left out.
_FIRST, _LAST = 60, 240
_MOST_BARS, _CALLBACKS = 60, 30

_KEYS_SHOWN = frozenset({"job_id", "status", "type", "error", "error_message", "outputs", "callbacks", "plan"})


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a job as the page shows it."""

    #: ``image``, ``video``, ``audio`` or ``file``.
    kind: str
    record: dict[str, Any]


def page(view: View) -> Response:
    """Return the page."""
    job = view.job()
    entries, left_out = timeline_ends(view.database, job.id, first=_FIRST, last=_LAST)
    made, free = calls.of_job(view.database, job.id), view.dashboard.runtime.catalogue.free_models
    newest = list_deliveries(view.database, job_id=job.id, limit=_CALLBACKS + 1)
    deliveries = newest[:_CALLBACKS][::-1]
    now = view.database.now()
    spans = spans_of(job, entries, made, deliveries)
    files = artifacts(job)
    return view.render(
        "job.html",
        job=job,
        facts={name: value for name, value in _facts(job, now).items() if value not in (None, [], 0, False)},
        waits=waiting_on(view.database, job, embedded=view.settings.embedded),
        lines=timeline_sentences(entries, job.received_at),
        first_lines=_FIRST if left_out else None,
        left_out=left_out,
        bars=bars(spans[:_MOST_BARS], now),
        more_bars=max(0, len(spans) - _MOST_BARS),
        files=files,
        captions=next((file.record["name"] for file in files if str(file.record["name"]).endswith(".vtt")), None),
        poster=next((file.record["name"] for file in files if file.record["name"] == "cover.jpg"), None),
        plan=(job.outcome or {}).get("plan"),
        details={name: value for name, value in (job.outcome or {}).items() if name not in ("outputs", "plan")},
        calls=[_call(call, free) for call in made],
        unknown=[call for call in made if call.state is CallState.UNKNOWN and not call.cancel_requested],
        spent=sum_of_costs(made, free).amount,
        deliveries=deliveries,
        more_deliveries=len(newest) > _CALLBACKS,
        request=request_view(job),
        retryable=job.state in RETRYABLE,
        now=now,
    )


def artifacts(job: Job) -> Sequence[Artifact]:
    """Return the files of the job; none once they were deleted."""
    if job.results_deleted_at is not None:
        return []
    records = (job.outcome or {}).get("outputs") or []
    return [Artifact(_kind(str(record.get("content_type", ""))), record) for record in records]


def _kind(content_type: str) -> str:
    family = content_type.partition("/")[0]
    return family if family in ("image", "video", "audio") else "file"


def _facts(job: Job, now: float) -> dict[str, Any]:
    view = job_view(job, now=now)
    return {name: value for name, value in view.items() if name not in _KEYS_SHOWN}


def _call(call: CallRow, free: Collection[str]) -> dict[str, Any]:
    return {
        "step": call.step,
        "provider": call.provider,
        "model": call.model,
        "state": call.state.value,
        "task": None if call.task is None else call.task.id,
        "spent": None if cost_unknown(call, free) else format_micros(call.spent),
        "reserved": format_micros(call.reserved) if call.reserved else None,
        "polls": call.polls,
        "error": None if call.error is None else f"{call.error.code}: {call.error.message}",
    }
