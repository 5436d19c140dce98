"""Imagine.art by its key API: text to video, as a multipart form.

The source system's names are kept at this boundary: ``style_id`` becomes the style that the settings give it, and
``batch_id`` is the call's own key, since the key API has neither. Nor does the key API name ``duration``,
``resolution`` and ``is_enhance``; they are sent all the same, and what came out is measured from the file.

The outer ``status: success`` only says that the look-up worked. The video's own status decides.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from providers.base import Call, Failed, Pending, Ready, TaskRef
from providers.fields import found, text
from providers.http.exchange import Answer, Exchange
from providers.http.policy import Policy
from providers.http.scrub import said, scrubbed
from providers.lost import lost
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
    """Imagine.art's API. See ``RemoteProvider``.

    Args:
        styles: the vendor's style by ``style_id``; ``default`` without one.
    """

    can_find = False

    def __init__(self, exchange: Exchange, styles: dict[str, str]) -> None:
        self._exchange = exchange
        self._styles = styles

    async def submit(self, call: Call) -> TaskRef:
        """Starts the video. Accepted without a readable id, its outcome is unknown: it may be paid for."""
        parts = self._parts(call)
        answer = await self._exchange.send(
            "POST", "/video/text-to-video", parts=parts, paid=True, refine=self._refined
        )  # fmt: skip
        document = answer.json()
        task = text(document, ("id",))
        if task:
            return TaskRef(task, {"style": parts["style"]})
        fault = self._coded(document)
        if fault is not None and fault.verdict is Verdict.NEVER:
            raise fault
        raise answer.unreadable("no id")

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """How the video stands: its own status, never the outer one."""
        path = f"/assets/{quote(task.id, safe='')}/status"
        try:
            answer = await self._exchange.send(
                "GET", path, paid=False, refine=lambda seen: lost(seen) or self._refined(seen)
            )
        except ProviderTaskLost as gone:
            return Failed(gone, charged=True)
        document = answer.json()
        status, outer = text(document, ("video.status",)).lower(), text(document, ("status",)).lower()
        url = text(document, ("video.url.generation.0", "video.url.generation"))
        if status in _DONE and url:
            return Ready(url=url, details={"batch_id": call.key, **task.extra})
        if status in _FAILED or (not status and outer in _FAILED):
            return self._failed(document)
        return Pending(status=scrubbed(status or outer, longest=40))

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """``False``: the API can delete a video, but is not known to stop one."""
        return False

    async def find(self, call: Call) -> TaskRef | None:
        """``None``, which is no answer: there is no list to look in."""
        return None

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._exchange.aclose()

    def _parts(self, call: Call) -> dict[str, str]:
        given = call.parameters
        parts = {name: str(given[name]) for name in _PLAIN if name in given}
        if given.get("is_enhance"):
            parts["is_enhance"] = "true"
        return parts | {"style": self._style(given.get("style_id"), call.model.remote)}

    def _style(self, style_id: Any, own: str) -> str:
        """The vendor's style: of the id, of the catalogue's entry, or the default, in this order."""
        style = (own or self._styles.get("default")) if style_id is None else self._styles.get(str(style_id))
        if style is None:
            known = ", ".join(sorted(name for name in self._styles if name != "default")) or "none"
            wanted = "there is no default style" if style_id is None else f"{style_id} has no style on this worker"
            raise ProviderRefused(
                f"data.style_id: {wanted}; it has {known}. Add it to TELECINE_IMAGINE_STYLES.", field="data.style_id"
            )
        return style

    def _failed(self, document: Any) -> Failed:
        if (fault := self._coded(document)) is not None and not isinstance(fault, ProviderRefused):
            raise fault  # it is the look-up that failed
        return Failed(ProviderTaskFailed(f"Imagine.art could not make the video: {self._reason(document)}"))

    def _reason(self, document: Any) -> str:
        reason = said(found(document, ("video.error", "video.message", "message", "error")))
        return scrubbed(reason, self._exchange.secrets) or "no reason given"

    def _refined(self, answer: Answer) -> ProviderError | None:
        """The vendor's own codes say more than some of its statuses."""
        if answer.status >= 500 or answer.status in (402, 408, 429):
            return None
        fault = self._coded(answer.json_or_none())
        return fault if isinstance(fault, ProviderUnauthorized | QuotaExhausted) else None

    def _coded(self, document: Any) -> ProviderError | None:
        """1000 and 1001: the key; 110x: the request; 120x: the service."""
        code, reason = text(document, ("code",)), self._reason(document)
        if code in ("1000", "1001", "401"):
            return ProviderUnauthorized(f"Imagine.art does not accept the key: {reason}. Replace the key in {_KEY}.")
        if code == "402":
            return QuotaExhausted(f"Imagine.art has no credit left: {reason}. Top up the account of {_KEY}.")
        if code[:3] == "110":
            return ProviderRefused(f"Imagine.art refused the call (code {code}): {reason}")
        if code[:3] == "120":
            return ProviderUnavailable(f"Imagine.art has a fault (code {code}): {reason}")
        return None


def from_settings(settings: Settings, policy: Policy) -> Imagine:
    """The adapter.

    Raises:
        ProviderNotConfigured: there is no key, or the base URL may not be called.
    """
    if settings.imagine_api_key is None or not settings.imagine_api_key.get_secret_value():
        raise ProviderNotConfigured(f"Imagine.art has no key on this worker. Set {_KEY}.")
    exchange = Exchange(
        settings.imagine_base_url,
        policy,
        {"authorization": f"Bearer {settings.imagine_api_key.get_secret_value()}"},
        vendor="Imagine.art",
        key_setting=_KEY,
        timeout_seconds=settings.exchange_timeout_seconds,
    )
    return Imagine(exchange, settings.imagine_styles)
