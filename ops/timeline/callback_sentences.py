"""Sentences for the callback events of a timeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ops.formatting import format_seconds


def callback_sentence(
    event: str, detail: Mapping[str, Any], about: dict[str, str]
) -> tuple[str, Literal["good", "bad", "odd", "plain"]] | None:
    """Return the sentence, or ``None`` for an event that this version does not know.

    ``about`` maps each ``webhook-id`` to the callback's event and is filled along the way.
    """
    webhook_id = str(detail.get("webhook_id", ""))
    if event == "callback_queued":
        about[webhook_id] = str(detail.get("about", "")).removeprefix("job.").removeprefix("game.")
        return f"The callback `{about[webhook_id]}` is ready to be sent", "plain"
    name = f"callback `{about[webhook_id]}`" if about.get(webhook_id) else "callback"
    attempt, answer = detail.get("attempt", "?"), str(detail.get("answer") or "no answer").rstrip(".")
    match event:
        case "callback_delivered":
            return f"The {name} was delivered at attempt {attempt} ({answer})", "good"
        case "callback_retrying":
            wait = format_seconds(detail.get("retry_in_seconds"))
            return f"Attempt {attempt} to deliver the {name} failed ({answer}); the next one is in {wait}", "odd"
        case "callback_disabled":
            return f"The {name} was disabled: {_why_disabled(answer)}", "bad"
        case "callback_exhausted":
            again = f"`telecine callbacks replay {webhook_id}` sends it again"
            return f"Attempt {attempt} to deliver the {name} failed ({answer}); it was the last one; {again}", "bad"
        case "callback_replayed":
            return f"The {name} was replayed by {detail.get('by', 'an operator')}", "odd"
    return None


def _why_disabled(answer: str) -> str:
    return "the receiver does not want callbacks any more (HTTP 410)" if answer == "HTTP 410" else answer
