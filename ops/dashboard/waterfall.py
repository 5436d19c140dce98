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
#: Events after which the job waits: for a later attempt, or for a worker.
_WAITS_AFTER = frozenset({"retry_later", "worker_lost", "worker_stopped"})
_DUE_AGAIN = frozenset({"retried", "call_done", "call_failed", "call_cancelled"})


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
    """Return the spans on one scale, from the first start to the end of the work; deliveries may go on after it."""
    if not spans:
        return []
    start = min(span.start for span in spans)
    work = [span for span in spans if span.kind != "callback"] or spans
    length = max(max((span.end or now) for span in work) - start, 0.001)
    drawn = []
    for span in spans:
        seconds = max(0.0, (span.end or now) - span.start)
        width = min(max(_LEAST, seconds / length * WIDTH), WIDTH)
        x = min((span.start - start) / length * WIDTH, WIDTH - _LEAST)
        width = min(width, WIDTH - x)
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


class _Work:
    """Reads the waits, attempts and steps from the entries of a timeline."""

    def __init__(self, start: float) -> None:
        self.spans: list[Span] = []
        self._waiting: Span | None = None
        self._attempt: Span | None = None
        self._steps: dict[str, Span] = {}
        self._wait(start, "waits for a worker")

    def read(self, entry: TimelineEntry) -> None:
        """Read the next entry."""
        step = str(entry.detail.get("step", "?"))
        if entry.event == "claimed":
            self._end_wait(entry.at)
            self._attempt = self._begin("attempt", f"attempt {entry.epoch}", entry.at)
        elif entry.event == "step_started":
            self._steps[step] = self._begin("step", step, entry.at)
        elif entry.event == "step_done" and step in self._steps:
            self._steps.pop(step).end = entry.at
        elif entry.event in _ENDS and self._attempt is not None:
            self._end_attempt(entry)
        elif entry.event in _DUE_AGAIN:
            self._wait(entry.at, "waits for a worker")

    def _begin(self, kind: str, label: str, at: float) -> Span:
        self.spans.append(Span(kind, label, at))
        return self.spans[-1]

    def _wait(self, at: float, label: str) -> None:
        if self._waiting is None:
            self._waiting = self._begin("wait", label, at)

    def _end_wait(self, at: float) -> None:
        if self._waiting is not None:
            self._waiting.end, self._waiting = at, None

    def _end_attempt(self, entry: TimelineEntry) -> None:
        for span in (self._attempt, *self._steps.values()):
            if span is not None:
                span.end, span.bad = entry.at, entry.event in _BAD
        self._attempt, self._steps = None, {}
        if entry.event in _WAITS_AFTER:
            self._wait(entry.at, "waits for the next attempt")


def _work(job: Job, entries: Sequence[TimelineEntry]) -> list[Span]:
    work = _Work(entries[0].at if entries else job.received_at)
    for entry in entries:
        work.read(entry)
    return work.spans


def _call(call: CallRow) -> Span:
    failed = call.state in (CallState.FAILED, CallState.UNKNOWN)
    return Span("call", f"{call.provider}: {call.model}", call.queued_at, call.finished_at, failed)


def _delivery(delivery: Delivery) -> Span:
    lost = delivery.state in (DeliveryState.EXHAUSTED, DeliveryState.DISABLED)
    end = delivery.created_at if lost else delivery.delivered_at
    return Span("callback", f"callback {delivery.event.removeprefix('job.')}", delivery.created_at, end, lost)
