"""The timeline of a job as a waterfall: one bar for each wait, attempt, step, call and delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.ledger.call_records import CallRow
from consumer.ledger.records import Delivery, Job, TimelineEntry
from consumer.ledger.states import CallState, DeliveryState

#: The width of the drawing.
WIDTH = 1000.0
_LEAST = 3.0
#: Events that end an attempt.
_ENDS = frozenset(
    {"parked", "retry_later", "worker_lost", "worker_stopped", "completed", "planned", "failed", "cancelled", "expired"}
)
_BAD = frozenset({"worker_lost", "failed", "expired"})


@dataclass(slots=True)
class Span:
    """A bar. Times are epoch seconds; ``end`` is ``None`` while it goes on."""

    #: ``wait``, ``attempt``, ``step``, ``call`` or ``callback``.
    kind: str
    label: str
    start: float
    end: float | None = None
    bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span as it is drawn, in units of ``WIDTH``."""

    kind: str
    label: str
    seconds: float
    x: float
    width: float
    running: bool
    bad: bool


def spans_of(
    job: Job, entries: Sequence[TimelineEntry], calls: Sequence[CallRow], deliveries: Sequence[Delivery]
) -> list[Span]:
    """Return the spans in the order in which they began."""
    spans = _work(job, entries)
    spans += [_call(call) for call in calls]
    spans += [_delivery(delivery) for delivery in deliveries]
    for span in spans:
        if job.terminal and span.end is None and span.kind in ("wait", "attempt", "step"):
            span.end = job.finished_at
    return sorted(spans, key=lambda span: span.start)


def bars(spans: Sequence[Span], now: float) -> list[Bar]:
    """Return the spans on one scale, from the first start to the last end."""
    if not spans:
        return []
    start = min(span.start for span in spans)
    length = max(max((span.end or now) for span in spans) - start, 0.001)
    drawn = []
    for span in spans:
        seconds = max(0.0, (span.end or now) - span.start)
        width = max(_LEAST, seconds / length * WIDTH)
        x = min((span.start - start) / length * WIDTH, WIDTH - width)
        drawn.append(
            Bar(
                kind=span.kind,
                label=span.label,
                seconds=seconds,
                x=round(x, 1),
                width=round(width, 1),
                running=span.end is None,
                bad=span.bad,
            )
        )
    return drawn


def _work(job: Job, entries: Sequence[TimelineEntry]) -> list[Span]:
    spans: list[Span] = []
    waiting: Span | None = Span("wait", "waits for a worker", entries[0].at if entries else job.received_at)
    attempt: Span | None = None
    steps: dict[str, Span] = {}
    for entry in entries:
        if entry.event == "claimed":
            if waiting is not None:
                waiting.end = entry.at
                spans.append(waiting)
            waiting, attempt = None, Span("attempt", f"attempt {entry.epoch}", entry.at)
            spans.append(attempt)
        elif entry.event == "step_started":
            name = str(entry.detail.get("step", "?"))
            steps[name] = Span("step", name, entry.at)
            spans.append(steps[name])
        elif entry.event == "step_done":
            done = steps.pop(str(entry.detail.get("step", "?")), None)
            if done is not None:
                done.end = entry.at
        elif entry.event in _ENDS and attempt is not None:
            bad = entry.event in _BAD
            for span in (attempt, *steps.values()):
                span.end, span.bad = entry.at, bad
            attempt, steps = None, {}
            if entry.event == "parked":
                waiting = None
            elif not job.terminal or entry is not entries[-1]:
                waiting = Span("wait", "waits for the next attempt", entry.at)
        elif entry.event == "retried" or entry.event in ("call_done", "call_failed", "call_cancelled"):
            waiting = Span("wait", "waits for a worker", entry.at)
    if waiting is not None and not job.terminal:
        spans.append(waiting)
    return spans


def _call(call: CallRow) -> Span:
    failed = call.state in (CallState.FAILED, CallState.UNKNOWN)
    return Span("call", f"{call.provider}: {call.model}", call.queued_at, call.finished_at, failed)


def _delivery(delivery: Delivery) -> Span:
    lost = delivery.state in (DeliveryState.EXHAUSTED, DeliveryState.DISABLED)
    end = delivery.created_at if lost else delivery.delivered_at
    return Span("callback", f"callback {delivery.event.removeprefix('job.')}", delivery.created_at, end, lost)
