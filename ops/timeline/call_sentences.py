"""Sentences for the provider-call events of a timeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ops.formatting import format_seconds

CALL_EVENTS = frozenset({"parked", "model_chosen", "outcome_unknown", "resolved"})


def call_sentence(event: str, detail: Mapping[str, Any]) -> tuple[str, Literal["good", "bad", "odd", "plain"]] | None:
    """Return the sentence, or ``None`` for an event that this version does not know."""
    provider, step = detail.get("provider", "the provider"), detail.get("step", "?")
    reason = f"{str(detail.get('message', '')).rstrip('.')} ({detail.get('code', '?')})"
    match event:
        case "parked":
            return f"The job waits for step `{step}` without a worker", "plain"
        case "model_chosen":
            return _model_chosen(detail)
        case "call_accepted":
            return f"{provider} accepted the call of step `{step}` as task {detail.get('task', '?')}", "plain"
        case "call_put_off":
            return f"Step `{step}` will be retried in {format_seconds(detail.get('seconds'))}: {reason}", "odd"
        case "call_ready":
            return f"{provider} finished step `{step}`; its result is being fetched", "plain"
        case "call_done" | "call_failed":
            return _finished(event, detail, reason)
        case "call_cancelled":
            return f"{provider} was asked to cancel step `{step}`", "odd"
        case "call_not_found":
            return f"{provider} reports that it never received the call of step `{step}`: it may be sent", "odd"
        case "outcome_unknown" | "resolved":
            return _outcome(event, detail)
    return None


def _finished(event: str, detail: Mapping[str, Any], reason: str) -> tuple[str, Literal["good", "bad"]]:
    model, step = detail.get("model", "the model"), detail.get("step", "?")
    if event == "call_done":
        return f"The result of {model} for step `{step}` was fetched", "good"
    return f"Step `{step}` failed with {model} of {detail.get('provider', 'the provider')}: {reason}", "bad"


def _outcome(event: str, detail: Mapping[str, Any]) -> tuple[str, Literal["bad", "odd"]]:
    step = detail.get("step", "?")
    if event == "resolved":
        by = detail.get("by", "cli")
        who = "An operator" if by == "cli" else str(by)
        return f"{who} settled the unknown outcome of step `{step}`: {detail.get('how', '?')}", "odd"
    follow_up = "the provider is asked about it" if detail.get("look_up") else "`telecine resolve` settles it"
    return (
        f"It is unknown whether {detail.get('provider', 'the provider')} accepted the call of step `{step}` "
        f"({str(detail.get('message', '')).rstrip('.')}); it is not resubmitted automatically: {follow_up}",
        "bad",
    )


def _model_chosen(detail: Mapping[str, Any]) -> tuple[str, Literal["odd", "plain"]]:
    sentence = (
        f"Step `{detail.get('step', '?')}` uses the model {detail.get('model', '?')} of {detail.get('provider', '?')}"
    )
    passed_over = detail.get("passed_over") or []
    if not passed_over:
        return sentence, "plain"
    reasons = "; ".join(f"{item.get('model')}: {str(item.get('why', '')).rstrip('.')}" for item in passed_over)
    return f"{sentence}; others were skipped: {reasons}", "odd"
