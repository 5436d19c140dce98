"""Imagine.art adapter, by its API for keys: text to video, as a multipart form.

Requests keep the names of the source system. The API has neither ``style_id`` nor ``batch_id``: the settings map
``style_id`` to a style, and ``batch_id`` is the call's key. The API does not document ``duration``, ``resolution`` and
``is_enhance`` either; they are sent anyway, and the result is measured from the file.

The outer ``status: success`` only means that the lookup worked. The video's own status decides.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.http.exchange import Exchange
from providers.http.outputs import find_files
from providers.http.policy import Policy
from providers.http.response import ProviderResponse, first_text, first_value, task_lost_on_404
from providers.http.scrub import extract_message, scrubbed
from schemas.errors import (
    ProviderError,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderTaskFailed,
    ProviderTaskLost,
    ProviderUnauthorized,
    ProviderUnavailable,
    QuotaExhausted,
    Verdict,
)
from schemas.settings import Settings

_KEY = "IMAGINE_API_KEY"
_FAILED = frozenset({"failed", "error"})
_DONE = frozenset({"finished", "success", "completed"})
_PLAIN = ("prompt", "aspect_ratio", "duration", "resolution")


class Imagine:
    """Imagine.art's API; see ``RemoteProvider``.

    Args:
        exchange: the connection to the API.
        styles: Imagine.art's style for each ``style_id``; ``default`` for calls without one.
    """

    can_find = False

    def __init__(self, exchange: Exchange, styles: dict[str, str]) -> None:
        self._exchange = exchange
        self._styles = styles

    async def submit(self, call: Call) -> TaskRef:
        """Start the video. If the response has no readable id, the outcome is unknown: it may be charged."""
        parts = self._parts(call)
        response = await self._exchange.send(
            "POST", "/video/text-to-video", parts=parts, paid=True, refine=self._refined
        )
        document = response.json()
        task = first_text(document, ("id",))
        if task:
            return TaskRef(task, {"style": parts["style"]})
        fault = self._coded(document)
        if fault is not None and fault.verdict is Verdict.NEVER:
            raise fault
        raise response.unreadable("no id")

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return the video's state from its own status, not from the outer one."""
        path = f"/assets/{quote(task.id, safe='')}/status"
        try:
            response = await self._exchange.send(
                "GET", path, paid=False, refine=lambda seen: task_lost_on_404(seen) or self._refined(seen)
            )
        except ProviderTaskLost as gone:
            return Failed(gone, charged=True)
        document = response.json()
        status, outer = first_text(document, ("video.status",)).lower(), first_text(document, ("status",)).lower()
        files = find_files(document, ("video.url.generation.0", "video.url.generation"))
        if status in _DONE and files.has_film:
            url, *others = files.urls
            return Ready(url=url, other_urls=others, details={"batch_id": call.key, **task.extra})
        if status in _FAILED or (not status and outer in _FAILED):
            return self._failed(document)
        return Pending(status=scrubbed(status or outer, longest=40))

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Return ``False``: the API can delete a video, but has no known way to stop one."""
        return False

    async def find(self, call: Call) -> TaskRef | None:
        """Return ``None`` (inconclusive, see ``can_find``): the API has no list to search."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()

    def _parts(self, call: Call) -> dict[str, str]:
        given = call.parameters
        parts = {name: str(given[name]) for name in _PLAIN if name in given}
        if given.get("is_enhance"):
            parts["is_enhance"] = "true"
        return parts | {"style": self._style(given.get("style_id"), call.model.remote)}

    def _style(self, style_id: Any, own: str) -> str:
        """Return Imagine.art's style: by ``style_id``, else from the catalogue's entry, else the default.

        Raises:
            ProviderRefused: the settings have no such style.
        """
        style = (own or self._styles.get("default")) if style_id is None else self._styles.get(str(style_id))
        if style is None:
            known = ", ".join(sorted(name for name in self._styles if name != "default")) or "none"
            wanted = "this worker has no default style" if style_id is None else f"this worker has no style {style_id}"
            raise ProviderRefused(
                f"data.style_id: {wanted}; available: {known}. Add it to TELECINE_IMAGINE_STYLES.",
                field="data.style_id",
            )
        return style

    def _failed(self, document: Any) -> Failed:
        if (fault := self._coded(document)) is not None and not isinstance(fault, ProviderRefused):
            raise fault  # the lookup failed, not the video
        return Failed(ProviderTaskFailed(f"Imagine.art could not make the video: {self._reason(document)}"))

    def _reason(self, document: Any) -> str:
        reason = extract_message(first_value(document, ("video.error", "video.message", "message", "error")))
        return scrubbed(reason, self._exchange.secrets) or "no reason given"

    def _refined(self, response: ProviderResponse) -> ProviderError | None:
        """Map Imagine.art's error codes where they are more precise than the HTTP status."""
        if response.status >= 500 or response.status in (402, 408, 429):
            return None
        fault = self._coded(response.json_or_none())
        return fault if isinstance(fault, ProviderUnauthorized | QuotaExhausted) else None

    def _coded(self, document: Any) -> ProviderError | None:
        """Map a code to an error. 1000 and 1001 are about the key, 110x the request, 120x the service."""
        code, reason = first_text(document, ("code",)), self._reason(document)
        if code in ("1000", "1001", "401"):
            return ProviderUnauthorized(f"Imagine.art does not accept the key: {reason}. Replace the key in {_KEY}.")
        if code == "402":
            return QuotaExhausted(f"Imagine.art has no credit left: {reason}. Top up the account of {_KEY}.")
        if code[:3] == "110":
            return ProviderRefused(f"Imagine.art refused the call (code {code}): {reason}")
        if code[:3] == "120":
            return ProviderUnavailable(f"Imagine.art is unavailable (code {code}): {reason}")
        return None


def from_settings(settings: Settings, policy: Policy) -> Imagine:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    if settings.imagine_api_key is None or not settings.imagine_api_key.get_secret_value():
        raise ProviderNotConfigured(f"Imagine.art has no key on this worker. Set {_KEY}.")
    exchange = Exchange(
        settings.imagine_base_url,
        policy,
        {"authorization": f"Bearer {settings.imagine_api_key.get_secret_value()}"},
        provider="Imagine.art",
        key_setting=_KEY,
        timeout_seconds=settings.exchange_timeout_seconds,
    )
    return Imagine(exchange, settings.imagine_styles)
