"""The timeline of a job as text: one sentence for each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from consumer.ledger.records import TimelineEntry
from ops.formatting import comma_list, count, door_name, format_seconds, format_size
from ops.timeline.call_sentences import CALL_EVENTS, call_sentence
from ops.timeline.callback_sentences import callback_sentence

#: The tone of a sentence, which decides its colour.
Tone = Literal["good", "bad", "odd", "plain"]

_FIXED: dict[str, tuple[str, Tone]] = {
    "storing": ("All results are stored; the manifest is being written", "plain"),
    "planned": ("Estimated; no media was made", "plain"),
    "completed": ("Completed", "good"),
    "cancelled": ("Cancelled", "odd"),
}
#: Events whose sentence is their name and a reason.
_WITH_REASON: dict[str, Tone] = {"warning": "odd", "failed": "bad", "expired": "bad"}
_ENDED = {"failed": "had failed", "cancelled": "was cancelled", "expired": "had expired"}


@dataclass(frozen=True, slots=True)
class TimelineSentence:
    """One entry as a sentence. ``after_seconds`` counts from the job's receipt."""

    after_seconds: float
    sentence: str
    tone: Tone
    entry: TimelineEntry


@dataclass(slots=True)
class _State:
    """What earlier entries established, as far as later sentences need it."""

    claims: int = 0
    #: A worker died and no other has claimed the job yet.
    orphaned: bool = False
    #: The running step, the last finished one, and when and how often each was started.
    step: str | None = None
    last_step: str | None = None
    started_at: dict[str, float] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    #: The event of each callback, by its ``webhook-id``.
    callbacks: dict[str, str] = field(default_factory=dict)


def timeline_sentences(entries: Sequence[TimelineEntry], received_at: float) -> list[TimelineSentence]:
    """Return the entries as sentences, in order. Events unknown to this version appear under their own names."""
    state = _State()
    if entries:  # a retried job was received again: its timeline begins before
        received_at = min(received_at, entries[0].at)
    return [TimelineSentence(entry.at - received_at, *_sentence(entry, state), entry) for entry in entries]


def _sentence(entry: TimelineEntry, state: _State) -> tuple[str, Tone]:
    if entry.event.startswith("callback_"):
        result = callback_sentence(entry.event, entry.detail, state.callbacks)
    elif entry.event.startswith("call_") or entry.event in CALL_EVENTS:
        if entry.event == "parked":
            state.step = None
        result = call_sentence(entry.event, entry.detail)
    elif entry.event.startswith("step_"):
        result = _step(entry, state)
    elif entry.event in ("claimed", "worker_lost", "worker_stopped", "retry_later"):
        result = _worker(entry, state)
    else:
        result = _job_event(entry.event, entry.detail)
    sentence, tone = result or (_unknown(entry), "plain")
    return _with_full_stop(sentence), tone


def _job_event(event: str, detail: dict[str, Any]) -> tuple[str, Tone] | None:
    if event in _FIXED:
        return _FIXED[event]
    if event in _WITH_REASON:
        return f"{event.capitalize()}: {_reason(detail)}", _WITH_REASON[event]
    match event:
        case "received":
            return _received(detail), "plain"
        case "duplicate":
            return f"The same request arrived again through {door_name(detail.get('door'))} and was absorbed", "odd"
        case "conflict":
            return (
                f"A request with the same id but other content arrived through {door_name(detail.get('door'))}"
                " and was refused (id_conflict)",
                "odd",
            )
        case "input_fetched":
            kind = str(detail.get("kind", "file")).upper()
            return (
                f"Fetched the input `{detail.get('input', '?')}` ({kind}, {format_size(detail.get('bytes'))})",
                "plain",
            )
        case "results_deleted":
            return f"Deleted the results because of their age ({count(int(detail.get('files', 0)), 'file')})", "plain"
    return _by_operator(event, detail)


def _by_operator(event: str, detail: dict[str, Any]) -> tuple[str, Tone] | None:
    by = detail.get("by", "an operator")
    match event:
        case "retried":
            after = f" after it {_ENDED.get(str(detail.get('after')), 'had ended')}"
            return f"Retry {detail.get('retry', '?')} was requested by {by}{after}", "odd"
        case "dead_letter_replayed":
            return f"Dead letter {detail.get('number', '?')} was replayed by {by}", "odd"
        case "cancel_requested":
            how = "by" if str(by).endswith(")") else "through"  # a person's name ends with where they act
            return f"Cancellation was requested {how} {door_name(detail.get('by'))}", "odd"
        case "sent":
            return f"The request was sent by {by}", "plain"
    return None


def _received(detail: dict[str, Any]) -> str:
    sentence = f"Received through {door_name(detail.get('door'))}"
    if str(detail.get("source")).startswith("s3://"):
        return f"{sentence}, for the upload of {detail['source']}/{detail.get('subject', '')}"
    if detail.get("source"):
        sentence += f", as a CloudEvent from {detail['source']}"
    return sentence + (f" about {detail['subject']}" if detail.get("subject") else "")


def _worker(entry: TimelineEntry, state: _State) -> tuple[str, Tone]:
    detail, worker = entry.detail, entry.detail.get("worker", "a worker")
    if entry.event == "worker_lost":
        where = "storing the results" if detail.get("state") == "storing" else "running"
        if state.step is not None:
            where += f", in the middle of step `{state.step}`"
        elif state.last_step is not None and detail.get("state") != "storing":
            where += f", after step `{state.last_step}`"
        state.orphaned, state.step = True, None
        return f"Detected that worker {worker} died (SIGKILL, power loss or out of memory) while {where}", "bad"
    if entry.event == "worker_stopped":
        state.step = None
        return f"Worker {worker} was shut down and released the job", "odd"
    if entry.event == "retry_later":
        state.step = None
        step = f" in step `{detail['step']}`" if detail.get("step") else ""
        return (
            f"{_temporary(detail)}{step}: {_reason(detail)}; will retry in {format_seconds(detail.get('seconds'))}",
            "odd",
        )
    state.claims += 1
    attempt = entry.epoch or state.claims
    if state.orphaned:
        state.orphaned = False
        return f"Worker {worker} took over the job as attempt {attempt}", "odd"
    return f"Worker {worker} claimed the job{' again' if attempt > 1 else ''} as attempt {attempt}", "plain"


def _step(entry: TimelineEntry, state: _State) -> tuple[str, Tone] | None:
    name = str(entry.detail.get("step", "?"))
    match entry.event:
        case "step_started":
            state.step, state.started_at[name] = name, entry.at
            state.starts[name] = state.starts.get(name, 0) + 1
            return f"Step `{name}` started{' again, from the beginning' if state.starts[name] > 1 else ''}", "plain"
        case "step_done":
            state.step, state.last_step = None, name
            took = f" after {format_seconds(entry.at - state.started_at[name])}" if name in state.started_at else ""
            made = comma_list(entry.detail.get("artifacts"))
            return f"Step `{name}` finished{took}{f'; stored {made}' if made else ''}", "plain"
        case "step_remembered":
            state.last_step = name
            return f"Step `{name}` had already finished and was not repeated", "good"
    return None


def _temporary(detail: dict[str, Any]) -> str:
    if detail.get("outage"):
        return "A part of this installation was unavailable"
    return f"Temporary failure {detail.get('failures', '?')}"


def _reason(detail: dict[str, Any]) -> str:
    message, code = str(detail.get("message", "")).rstrip("."), detail.get("code")
    return f"{message} ({code})" if message and code else message or str(code or "no reason was recorded")


def _unknown(entry: TimelineEntry) -> str:
    words = entry.event.replace("_", " ").capitalize()
    facts = ", ".join(f"{name} {value}" for name, value in entry.detail.items())
    return f"{words} ({facts})" if facts else words


def _with_full_stop(sentence: str) -> str:
    return sentence.rstrip(". ") + "."
