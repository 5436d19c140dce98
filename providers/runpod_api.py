"""RunPod: a serverless endpoint that runs Telecine's own handler, or another one that speaks the same form.

    input    {"key", "model", "parameters": {…}, "inputs": {name: {"url", "content_type", "bytes", "sha256"}}}
    progress a number from 0 to 100
    output   {"url": …, "value": …, "details": {…}}, any of them left out
    error    {"code", "message", "field"} as JSON text; whatever Python's traceback says stays here

Media never travel inside a message: inputs are presigned URLs, and so is the result. The endpoint cannot be
searched, so a submission without an answer is an unknown outcome.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.fields import found, text
from providers.http.exchange import MIB, Exchange
from providers.http.policy import Policy
from providers.http.scrub import scrubbed
from providers.lost import lost
from providers.reach import check_reach
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

#: What RunPod takes in one request; a larger one is not even sent.
LARGEST_BODY_BYTES = 10 * 1000 * 1000
#: What the handler sends for a reel: its captions are texts of at most a few hundred kilobytes each.
_LARGEST_ANSWER_BYTES = 8 * MIB
#: How long RunPod keeps a job that nobody stops, after the engine has given it up.
_GRACE_SECONDS = 300
_LONGEST_SECONDS = 7 * 86_400
_SHORTEST_SECONDS = 10
#: Ends that are remembered, so that a late progress report cannot undo one.
_MOST_ENDS = 2_000


class RunPod:
    """RunPod's job API. See ``RemoteProvider``."""

    can_find = False

    def __init__(self, exchange: Exchange, endpoint: str) -> None:
        self._exchange = exchange
        self._endpoint = endpoint
        self._ends: OrderedDict[str, Ready | Failed] = OrderedDict()

    async def submit(self, call: Call) -> TaskRef:
        """Queues the job. ``remote`` of the model names the endpoint, where it is not the one of the settings."""
        endpoint = call.model.remote or self._endpoint
        if not endpoint:
            raise ProviderNotConfigured("RunPod has no endpoint on this worker. Set RUNPOD_ENDPOINT_ID.")
        answer = await self._exchange.send("POST", f"/{quote(endpoint, safe='')}/run", json=_body(call), paid=True)
        task = text(answer.json(), ("id",))
        if not task:
            raise answer.unreadable("no job id")
        return TaskRef(task, {"endpoint": endpoint})

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """How the job stands. An end that was seen once is the end, whatever RunPod says later."""
        if (known := self._ends.get(task.id)) is not None:
            return known
        try:
            answer = await self._exchange.send("GET", self._path("status", call, task), paid=False, refine=lost)
        except ProviderTaskLost as error:
            return Failed(error, charged=True)
        standing = self._standing(answer.json())
        if not isinstance(standing, Pending):
            self._ends[task.id] = standing
            if len(self._ends) > _MOST_ENDS:
                self._ends.popitem(last=False)
        return standing

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Takes the job out of the queue or stops its worker; ``False`` when that has run: its seconds are billed."""
        waited = await self._waits(call, task)  # afterwards RunPod does not tell it any more
        answer = await self._exchange.send("POST", self._path("cancel", call, task), paid=False)
        return waited and text(answer.json(), ("status",)).upper() == "CANCELLED"

    async def find(self, call: Call) -> TaskRef | None:
        """``None``, which is no answer: there is no list to look in."""
        return None

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._exchange.aclose()

    async def _waits(self, call: Call, task: TaskRef) -> bool:
        """Whether no worker has taken the job yet. Where that cannot be asked, one may have."""
        try:
            answer = await self._exchange.send("GET", self._path("status", call, task), paid=False)
        except ProviderError:
            return False
        return text(answer.json_or_none(), ("status",)).upper() == "IN_QUEUE"

    def _path(self, verb: str, call: Call, task: TaskRef) -> str:
        # A task that a person has adopted does not say where it is.
        endpoint = task.extra.get("endpoint") or call.model.remote or self._endpoint
        return f"/{quote(endpoint, safe='')}/{verb}/{quote(task.id, safe='')}"

    def _standing(self, document: Any) -> Pending | Ready | Failed:
        status = text(document, ("status",)).upper()
        output = document.get("output") if isinstance(document, dict) else None
        match status:
            case "COMPLETED" if not _is_progress(output):
                return _result(output)
            case "FAILED":
                return Failed(self._failure(document), charged=True)
            case "TIMED_OUT":
                return Failed(ProviderTimeout("RunPod stopped the job: it ran for longer than it may."), charged=True)
            case "CANCELLED":
                ran = found(document, ("executionTime",))
                billed = isinstance(ran, int | float) and ran > 0
                return Failed(ProviderTaskFailed("The job was cancelled at RunPod."), charged=billed)
        return Pending(_part(output), status=scrubbed(status, longest=40))

    def _failure(self, document: Any) -> ProviderTaskFailed:
        said = text(document, ("error", "output.error"))
        try:
            record = json.loads(said)
        except (ValueError, RecursionError):
            record = said
        # What a handler raised comes as JSON text: type, message and traceback. Only the message is for others.
        words = text(record, ("message", "error_message")) if isinstance(record, dict) else said
        shown = scrubbed(words, self._exchange.secrets) or "no reason given"
        field = text(record, ("field",)) if isinstance(record, dict) else ""
        return ProviderTaskFailed(
            f"RunPod could not make the result: {shown}", field=scrubbed(field, longest=64) or None
        )


def from_settings(settings: Settings, policy: Policy) -> RunPod:
    """The adapter.

    Raises:
        ProviderNotConfigured: there is no key, or the base URL may not be called.
    """
    if settings.runpod_api_key is None or not settings.runpod_api_key.get_secret_value():
        raise ProviderNotConfigured("RunPod has no key on this worker. Set RUNPOD_API_KEY.")
    return RunPod(
        Exchange(
            settings.runpod_base_url,
            policy,
            {"authorization": f"Bearer {settings.runpod_api_key.get_secret_value()}"},
            vendor="RunPod",
            key_setting="RUNPOD_API_KEY",
            timeout_seconds=settings.exchange_timeout_seconds,
            limit_bytes=_LARGEST_ANSWER_BYTES,
        ),
        settings.runpod_endpoint_id or "",
    )


def _body(call: Call) -> dict[str, Any]:
    check_reach(call)
    runs = min(max(call.model.timeout_seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
    lives = min(runs + _GRACE_SECONDS, _LONGEST_SECONDS)
    body = {
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
    size = len(json.dumps(body).encode())
    if size > LARGEST_BODY_BYTES:
        raise ProviderRefused(
            f"RunPod takes at most {LARGEST_BODY_BYTES:,} bytes in one request; this one has {size:,}. "
            "Shorten the texts in it; media are passed by URL."
        )
    return body


def _result(output: Any) -> Ready | Failed:
    record: Mapping[str, Any] = output if isinstance(output, dict) else {}
    url, value, details = record.get("url"), record.get("value"), record.get("details")
    if (url is not None and not isinstance(url, str)) or (url is None and value is None):
        return Failed(
            ProviderResultInvalid("RunPod's job ended without a result: does the endpoint run Telecine's handler?"),
            charged=True,
        )
    plain = {
        name: scrubbed(item) if isinstance(item, str) else item
        for name, item in (details.items() if isinstance(details, dict) else ())
        if isinstance(name, str) and isinstance(item, str | int | float | bool)
    }
    return Ready(url=url, value=value, details=plain)


def _is_progress(output: Any) -> bool:
    return isinstance(output, int | float) and not isinstance(output, bool)


def _part(output: Any) -> float | None:
    return min(max(output / 100, 0.0), 1.0) if _is_progress(output) and output == output else None
