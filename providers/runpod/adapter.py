"""RunPod adapter: a serverless endpoint that runs Telecine's handler, or another with the same messages.

    input    {"key", "model", "parameters": {…}, "inputs": {name: {"url", "content_type", "bytes", "sha256"}}}
    progress a number from 0 to 100
    output   {"url": …, "value": …, "details": {…}}, all optional
    error    {"code", "message", "field"} as JSON text; tracebacks are not passed on

Media are not part of a message: inputs and results are presigned URLs. The API cannot list jobs, so a submission
without a response has an unknown outcome.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from providers.base import Call, Failed, Pending, Ready, TaskRef, require_url_inputs
from providers.http.exchange import MIB, Exchange
from providers.http.outputs import find_files, without_files
from providers.http.policy import Policy
from providers.http.response import first_text, first_value, task_lost_on_404
from providers.http.scrub import scrubbed
from schemas.errors import (
    ProviderError,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderResultInvalid,
    ProviderTaskFailed,
    ProviderTaskLost,
    ProviderTimeout,
)
from schemas.settings import Settings

#: RunPod's limit for a request; a larger one is not sent.
LARGEST_BODY_BYTES = 10 * 1000 * 1000
#: Limit for a response. The largest contains the captions of a reel, a few hundred kilobytes each.
_LARGEST_ANSWER_BYTES = 8 * MIB
#: How much longer than the engine RunPod keeps a job.
_GRACE_SECONDS = 300
_LONGEST_SECONDS = 7 * 86_400
_SHORTEST_SECONDS = 10
#: Number of final states that are remembered, so that a late progress report cannot revert one.
_MOST_ENDS = 2_000


class RunPod:
    """RunPod's job API; see ``RemoteProvider``."""

    can_find = False
    #: Whether a job that failed is billed.
    failures_are_charged = True

    def __init__(self, exchange: Exchange, endpoint: str) -> None:
        self._exchange = exchange
        self._endpoint = endpoint
        self._ends: OrderedDict[str, Ready | Failed] = OrderedDict()

    async def submit(self, call: Call) -> TaskRef:
        """Queue the job, at the endpoint named by the model's ``remote`` or else by the settings."""
        require_url_inputs(call)
        body = self._body(call)
        endpoint = call.model.remote or self._endpoint
        if not endpoint:
            raise ProviderNotConfigured("RunPod has no endpoint on this worker. Set RUNPOD_ENDPOINT_ID.")
        response = await self._exchange.send("POST", f"/{quote(endpoint, safe='')}/run", json=body, paid=True)
        task = first_text(response.json(), ("id",))
        if not task:
            raise response.unreadable("no job id")
        return TaskRef(task, {"endpoint": endpoint})

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return the job's state. A final state is remembered, because RunPod may report progress after it."""
        if (known := self._ends.get(task.id)) is not None:
            return known
        try:
            response = await self._exchange.send(
                "GET", self._path("status", call, task), paid=False, refine=task_lost_on_404
            )
        except ProviderTaskLost as error:
            return Failed(error, charged=True)
        state = self._status(response.json())
        if not isinstance(state, Pending):
            self._ends[task.id] = state
            if len(self._ends) > _MOST_ENDS:
                self._ends.popitem(last=False)
        return state

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Cancel the job. Return ``False`` if a worker has started it, because its seconds are billed."""
        was_queued = await self._is_queued(call, task)  # RunPod does not report this after the cancellation
        response = await self._exchange.send("POST", self._path("cancel", call, task), paid=False)
        return was_queued and first_text(response.json(), ("status",)).upper() == "CANCELLED"

    async def find(self, call: Call) -> TaskRef | None:
        """Return ``None`` (inconclusive, see ``can_find``): the API has no list to search."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()

    def _body(self, call: Call) -> dict[str, Any]:
        body = _request(call)
        size = len(json.dumps(body).encode())
        if size > LARGEST_BODY_BYTES:
            raise ProviderRefused(
                f"RunPod accepts at most {LARGEST_BODY_BYTES:,} bytes per request; this one has {size:,}. "
                "Shorten its texts; media are passed by URL."
            )
        return body

    def _result(self, document: Any) -> Ready | Failed:
        return _result(document.get("output"))

    async def _is_queued(self, call: Call, task: TaskRef) -> bool:
        """Return whether the job is certainly still queued; ``False`` if its state cannot be read."""
        try:
            response = await self._exchange.send("GET", self._path("status", call, task), paid=False)
        except ProviderError:
            return False
        return first_text(response.json_or_none(), ("status",)).upper() == "IN_QUEUE"

    def _path(self, verb: str, call: Call, task: TaskRef) -> str:
        # A task that an operator entered with `telecine resolve` has no endpoint.
        endpoint = task.extra.get("endpoint") or call.model.remote or self._endpoint
        return f"/{quote(endpoint, safe='')}/{verb}/{quote(task.id, safe='')}"

    def _status(self, document: Any) -> Pending | Ready | Failed:
        status = first_text(document, ("status",)).upper()
        output = document.get("output") if isinstance(document, dict) else None
        match status:
            case "COMPLETED" if not _is_progress(output):
                return self._result(document)
            case "FAILED":
                return Failed(self._failure(document), charged=self.failures_are_charged)
            case "TIMED_OUT":
                return Failed(ProviderTimeout("RunPod stopped the job: it exceeded its time limit."), charged=True)
            case "CANCELLED":
                ran = first_value(document, ("executionTime",))
                billed = isinstance(ran, int | float) and ran > 0
                return Failed(ProviderTaskFailed("The job was cancelled at RunPod."), charged=billed)
        return Pending(_part(output), status=scrubbed(status, longest=40))

    def _failure(self, document: Any) -> ProviderTaskFailed:
        error = first_text(document, ("error", "output.error"))
        try:
            record = json.loads(error)
        except (ValueError, RecursionError):
            record = error
        # An exception of a handler arrives as JSON text with type, message and traceback; only the message is shown.
        words = first_text(record, ("message", "error_message")) if isinstance(record, dict) else error
        shown = scrubbed(words, self._exchange.secrets) or "no reason given"
        field = first_text(record, ("field",)) if isinstance(record, dict) else ""
        return ProviderTaskFailed(
            f"RunPod could not make the result: {shown}", field=scrubbed(field, longest=64) or None
        )


def from_settings(settings: Settings, policy: Policy) -> RunPod:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    return RunPod(exchange_of(settings, policy), settings.runpod_endpoint_id or "")


def exchange_of(settings: Settings, policy: Policy) -> Exchange:
    """Return the connection to RunPod's job API.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    if settings.runpod_api_key is None or not settings.runpod_api_key.get_secret_value():
        raise ProviderNotConfigured("RunPod has no key on this worker. Set RUNPOD_API_KEY.")
    return Exchange(
        settings.runpod_base_url,
        policy,
        {"authorization": f"Bearer {settings.runpod_api_key.get_secret_value()}"},
        provider="RunPod",
        key_setting="RUNPOD_API_KEY",
        timeout_seconds=settings.exchange_timeout_seconds,
        limit_bytes=_LARGEST_ANSWER_BYTES,
    )


def _request(call: Call) -> dict[str, Any]:
    runs = min(max(call.model.timeout_seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
    lives = min(runs + _GRACE_SECONDS, _LONGEST_SECONDS)
    return {
        "input": {
            "key": call.key,
            "model": call.model.id,
            "parameters": dict(call.parameters),
            "inputs": {
                name: {
                    "url": file.url,
                    "content_type": file.content_type,
                    "bytes": file.bytes,
                    "sha256": file.sha256,
                }
                for name, file in call.inputs.items()
            },
        },
        "policy": {"executionTimeout": round(runs * 1000), "ttl": round(lives * 1000)},
    }


def _result(output: Any) -> Ready | Failed:
    record: Mapping[str, Any] = output if isinstance(output, dict) else {}
    value, details = record.get("value"), record.get("details")
    apart = {name: item for name, item in record.items() if name != "details"}
    files = find_files(apart or output, ("url",))
    if not files and value is None:
        return Failed(
            ProviderResultInvalid("RunPod's job ended without a result. Does the endpoint run Telecine's handler?"),
            charged=True,
        )
    plain = {
        name: scrubbed(item) if isinstance(item, str) else item
        for name, item in (details.items() if isinstance(details, dict) else ())
        if isinstance(name, str) and isinstance(item, str | int | float | bool)
    }
    url, *others = files.urls or (None,)
    value = without_files(value, only_data=True)
    return Ready(url=url, other_urls=[each for each in others if each], value=value, details=plain)


def _is_progress(output: Any) -> bool:
    return isinstance(output, int | float) and not isinstance(output, bool)


def _part(output: Any) -> float | None:
    return min(max(output / 100, 0.0), 1.0) if _is_progress(output) and output == output else None
