"""Map a Replicate prediction to the state of a task.

status                    becomes
starting, processing      Pending, with the progress parsed from its logs
succeeded                 Ready; Failed if the output is empty, or was removed after an hour
failed                    Failed, with the reason
canceled                  Failed; charged if it ran
aborted                   Failed: it expired before it started; not charged
anything else             Pending
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from providers.base import Failed, Pending, Ready
from providers.http.outputs import find_files, is_file, without_files
from providers.http.response import ProviderResponse, first_text, first_value
from providers.http.scrub import scrubbed
from schemas.errors import ProviderResultInvalid, ProviderTaskFailed

#: Length in characters of the end of the logs that is searched for progress bars.
_TAIL = 4096
_PERCENT = re.compile(r"(\d{1,3})%\|")


def task_status(response: ProviderResponse, secrets: Iterable[str]) -> Pending | Ready | Failed:
    """Return the state of the prediction in the response.

    Raises:
        ProviderAnswerInvalid: the response is not a prediction.
    """
    document = response.json()
    status = first_text(document, ("status",)).lower()
    if not status:
        raise response.unreadable("a response without a status")
    match status:
        case "succeeded":
            return _succeeded(document)
        case "failed":
            reason = scrubbed(first_text(document, ("error",)), secrets) or "no reason given"
            return Failed(ProviderTaskFailed(f"Replicate could not run the model: {reason}"), charged=_ran(document))
        case "canceled":
            return Failed(
                ProviderTaskFailed("The prediction was cancelled at Replicate."), charged=has_started(document)
            )
        case "aborted":
            return Failed(ProviderTaskFailed("Replicate aborted the prediction: it expired before it started."))
    return Pending(_progress(document), status=scrubbed(status, longest=40))


def _succeeded(document: Mapping[str, Any]) -> Ready | Failed:
    output = document.get("output")
    if output is None or output in ("", [], {}):
        removed = document.get("data_removed") is True
        why = "has removed the result: it keeps results for one hour" if removed else "reports success without a result"
        return Failed(ProviderResultInvalid(f"Replicate {why}."), charged=True)
    url, *others = find_files(output).urls or (None,)
    value = None if _only_files(output) else _value(output)
    return Ready(url=url, other_urls=[each for each in others if each], value=value, details=_details(document))


def _only_files(output: Any) -> bool:
    """Return whether the output is a file or a list of files; entries of ``null`` are ignored."""
    return all(each is None or is_file(each) for each in (output if isinstance(output, list) else [output]))


def _value(output: Any) -> Any:
    """Return the output; pieces of text, from models that stream, are joined."""
    if isinstance(output, list) and all(isinstance(each, str) for each in output):
        return "".join(output).strip()
    return output.strip() if isinstance(output, str) else without_files(output, only_data=True)


def _details(document: Mapping[str, Any]) -> dict[str, Any]:
    details = {
        "prediction": first_text(document, ("id",)),
        "model": first_text(document, ("model",)),
        "version": first_text(document, ("version",)),
        "seed": first_value(document, ("input.seed",)),
        "predict_seconds": first_value(document, ("metrics.predict_time",)),
    }
    return {
        name: scrubbed(value, longest=128) if isinstance(value, str) else value
        for name, value in details.items()
        if isinstance(value, str | int | float) and value != ""
    }


def has_started(document: Any) -> bool:
    """Return whether the model is running or has run. Such a prediction is billed even if it is cancelled."""
    at_work = first_text(document, ("status",)).lower() == "processing"
    return at_work or bool(first_text(document, ("started_at",))) or _ran(document)


def _ran(document: Any) -> bool:
    """Return whether the prediction reports a run time, which Replicate bills."""
    seconds = first_value(document, ("metrics.predict_time",))
    return isinstance(seconds, int | float) and seconds > 0


def _progress(document: Mapping[str, Any]) -> float | None:
    logs = document.get("logs")
    percents = _PERCENT.findall(logs[-_TAIL:]) if isinstance(logs, str) else []
    return min(int(percents[-1]), 100) / 100 if percents else None
