"""What a timeline says about callbacks, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ops.story_words import seconds_text


def callback_sentence(
    event: str, detail: Mapping[str, Any], about: dict[str, str]
) -> tuple[str, Literal["good", "bad", "odd", "plain"]] | None:
    """The sentence, or ``None`` for an event that this version does not know.

    ``about`` remembers from one sentence to the next what each callback tells of.
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
            wait = seconds_text(detail.get("retry_in_seconds"))
            return f"Attempt {attempt} to deliver the {name} failed ({answer}); the next one follows in {wait}", "odd"
        case "callback_disabled":
            return f"The {name} is not sent any more: {_why_disabled(answer)}", "bad"
        case "callback_exhausted":
            again = f"`telecine callbacks replay {webhook_id}` sends it again"
            return f"Attempt {attempt} to deliver the {name} failed ({answer}), and it was the last one; {again}", "bad"
        case "callback_replayed":
            return f"Somebody sent the {name} on its way again", "odd"
    return None


def _why_disabled(answer: str) -> str:
    return "the receiver wants no more of them (HTTP 410)" if answer == "HTTP 410" else answer
