"""Cococlip adapter: video from text, image or audio. Disabled until the operator has an agreement with Cococlip.

Its API is not published. Base URL, key and paths are therefore settings, and responses are parsed in every variant
seen so far: flat or in an envelope with a ``code``, four names for the id, any letter case, a ``successFlag``, and an
empty body while a task runs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from providers.base import Call, Failed, Pending, Ready, TaskRef, require_url_inputs
from providers.http.exchange import Exchange
from providers.http.outputs import find_files
from providers.http.policy import Policy
from providers.http.response import ProviderResponse, first_text, first_value, task_lost_on_404
from providers.http.scrub import scrubbed
from providers.http.verdicts import error_for_status
from schemas.errors import (
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderTaskFailed,
    ProviderTaskLost,
    RateLimited,
)
from schemas.settings import Settings

_KEY = "TELECINE_COCOCLIP_AUTH_HEADER"
_ID = ("task_id", "id", "job_id", "uuid", "data.taskId", "data.task_id", "data.id", "data.job_id", "data.uuid")
_STATUS = ("data.status", "status")
_URL = ("url", "data.url", "data.response.url")
_ENDS = {
    "completed": "done",
    "success": "done",
    "succeeded": "done",
    "failed": "failed",
    "error": "failed",
    "create_task_failed": "failed",
    "generate_failed": "failed",
}
#: Meaning of ``successFlag``, used where the status is unknown.
_FLAGS = {"1": "done", "2": "failed", "3": "failed"}
#: Wait after a 429 without ``Retry-After``.
_SLOW_DOWN_SECONDS = 20.0
_LARGEST_FILE_BYTES = 50 * 1024 * 1024
_FILES = {
    "image": ("JPEG, PNG, WebP", frozenset({"image/jpeg", "image/png", "image/webp"})),
    "audio": ("MP3, WAV", frozenset({"audio/mpeg", "audio/mp3", "audio/wav", "audio/x-wav", "audio/wave"})),
}


class Cococlip:
    """Cococlip's backend; see ``RemoteProvider``."""

    can_find = False

    def __init__(self, exchange: Exchange, submit_path: str, status_path: str) -> None:
        self._exchange = exchange
        self._submit_path, self._status_path = submit_path, status_path

    async def submit(self, call: Call) -> TaskRef:
        """Start the video. An envelope with an error code means "not accepted", even with HTTP 200."""
        require_url_inputs(call)
        path = _path(self._submit_path, call)
        try:
            response = await self._exchange.send("POST", path, json=_body(call), paid=True)
        except RateLimited as error:
            raise _with_wait(error) from None
        document = response.json()
        if (fault := self._coded(document, response)) is not None:
            raise fault
        task = first_text(document, _ID)
        if not task:
            raise response.unreadable("no task id")
        return TaskRef(task)

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return the task's state. A response that is empty or not JSON means that the task is still running."""
        path = _path(self._status_path, call, task.id)
        try:
            response = await self._exchange.send("GET", path, paid=False, refine=task_lost_on_404)
        except ProviderTaskLost as gone:
            return Failed(gone, charged=True)
        except RateLimited as error:
            raise _with_wait(error) from None
        document = response.json_or_none()
        if not isinstance(document, dict):
            return Pending(status="no answer yet")
        fault = self._coded(document, response)
        if isinstance(fault, ProviderTaskLost):
            return Failed(fault, charged=True)
        if isinstance(fault, ProviderRefused):
            return Failed(ProviderTaskFailed(fault.message))
        if fault is not None:
            raise fault
        return self._judged(call, document)

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Return ``False``: Cococlip has no known way to stop a task."""
        return False

    async def find(self, call: Call) -> TaskRef | None:
        """Return ``None`` (inconclusive, see ``can_find``): Cococlip has no known task list."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()

    def _judged(self, call: Call, document: dict[str, Any]) -> Pending | Ready | Failed:
        status = first_text(document, _STATUS)
        end = _ENDS.get(status.lower()) or _FLAGS.get(first_text(document, ("data.successFlag", "successFlag")))
        files = find_files(document, _URL, [file.url for file in call.inputs.values()])
        if end == "failed":
            return Failed(ProviderTaskFailed(f"Cococlip could not make the video: {self._reason(document)}"))
        if end == "done" and files.has_film:
            url, *others = files.urls
            took = first_value(document, ("inference_time", "data.inference_time"))
            known = isinstance(took, int | float) and not isinstance(took, bool)
            return Ready(url=url, other_urls=others, details={"inference_time": took} if known else {})
        return Pending(status=scrubbed(status, longest=40))

    def _reason(self, document: dict[str, Any]) -> str:
        reason = first_text(document, ("error", "error.message", "data.errorMessage", "data.error", "msg", "message"))
        return scrubbed(reason, self._exchange.secrets) or "no reason given"

    def _coded(self, document: Any, response: ProviderResponse) -> ProviderError | None:
        """Return the error of an envelope whose ``code`` is not 200, treating it like the same HTTP status."""
        code = first_text(document, ("code",))
        if code in ("", "200"):
            return None
        status = int(code) if code.isdigit() and 400 <= int(code) < 600 else 422
        if status in (404, 410) and not response.paid:
            return ProviderTaskLost(f"Cococlip no longer knows the task (code {code}).")
        error = error_for_status(
            status, self._reason(document), provider="Cococlip", key_setting=_KEY, paid=response.paid
        )
        if response.paid and first_text(document, _ID):
            return ProviderOutcomeUnknown(f"{error.message} But the response names a task, so it may be running.")
        return _with_wait(error) if isinstance(error, RateLimited) else error


def from_settings(settings: Settings, policy: Policy) -> Cococlip:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: Cococlip is disabled, its header is not valid, or the base URL may not be called.
    """
    if not settings.cococlip_base_url:
        raise ProviderNotConfigured(
            "Cococlip is disabled on this worker. Set TELECINE_COCOCLIP_BASE_URL, or the key of another provider that "
            "`telecine models NAME` lists as a route."
        )
    if settings.cococlip_auth_header is None:
        raise ProviderNotConfigured(f"Cococlip has no key on this worker. Set {_KEY}.")
    name, colon, value = settings.cococlip_auth_header.get_secret_value().partition(":")
    if not colon or not value.strip() or not name.replace("-", "").isalnum():
        raise ProviderNotConfigured(f'{_KEY} is not a header. Set the whole header: "Authorization: Bearer …".')
    exchange = Exchange(
        settings.cococlip_base_url,
        policy,
        {name.lower(): value.strip()},
        provider="Cococlip",
        key_setting=_KEY,
        timeout_seconds=settings.exchange_timeout_seconds,
    )
    return Cococlip(exchange, settings.cococlip_submit_path, settings.cococlip_status_path)


def _body(call: Call) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, file in call.inputs.items():
        allowed, kinds = _FILES.get(name, ("none", frozenset()))
        if file.content_type not in kinds:
            raise ProviderRefused(
                f"Invalid {name} file type. Allowed: {allowed}. Got: {file.content_type}", field=f"data.{name}"
            )
        if file.bytes > _LARGEST_FILE_BYTES:
            raise ProviderRefused("File too large: Cococlip takes at most 50 MB", field=f"data.{name}")
        body[name] = file.url
    body |= call.model.sent(call.parameters)
    if "audio_duration" in body:
        body["audio_duration"] = f"{float(body['audio_duration']):.2f}"
    return body


def _path(template: str, call: Call, task: str = "") -> str:
    kind, _, model = (call.model.remote or f"text2video/{call.model.id}").partition("/")
    values = {"{kind}": kind, "{model}": model, "{id}": task}
    for mark, value in values.items():
        template = template.replace(mark, quote(value, safe=""))
    return template


def _with_wait(error: ProviderError) -> ProviderError:
    wait = _SLOW_DOWN_SECONDS if error.retry_after_seconds is None else error.retry_after_seconds
    return RateLimited(error.message, retry_after_seconds=wait)
