"""Pika adapter, by way of its reseller: image to video. Results are on a public host.

The reseller's API can neither list nor stop tasks. The call's key is sent as ``ref``, so that an operator can look it
up in the reseller's console.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from providers.base import Call, Failed, Pending, Ready, TaskRef, require_url_inputs
from providers.http.exchange import Exchange
from providers.http.outputs import find_files, is_data
from providers.http.policy import Policy
from providers.http.response import first_text, first_value, task_lost_on_404
from providers.http.scrub import extract_message, scrubbed
from schemas.errors import ProviderNotConfigured, ProviderRefused, ProviderTaskFailed, ProviderTaskLost
from schemas.settings import Settings

_IMAGES = ("image/jpeg", "image/png", "image/webp", "image/gif")
#: The video's status first: it is the reliable one, and the job's may be missing.
_STATUS = ("videos.0.status", "job.status")
_URL = ("videos.0.resultUrl",)
_FAILED = frozenset({"error", "failed"})
_LONGEST_TITLE = 120


class Pika:
    """Pika's API; see ``RemoteProvider``."""

    can_find = False

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def submit(self, call: Call) -> TaskRef:
        """Start the video. If the response has no readable id, the outcome is unknown: it may be charged."""
        response = await self._exchange.send("POST", "/generate", json=_body(call), paid=True)
        task = first_text(response.json(), ("job.id", "video.jobId", "job.pikaJobId"))
        if not task:
            raise response.unreadable("no job id")
        return TaskRef(task)

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return the video's state. A finished video without a URL is still ``Pending``."""
        try:
            response = await self._exchange.send(
                "GET", f"/jobs/{quote(task.id, safe='')}", paid=False, refine=task_lost_on_404
            )
        except ProviderTaskLost as error:
            return Failed(error, charged=True)
        document = response.json()
        status, files = (
            first_text(document, _STATUS).lower(),
            find_files(document, _URL, [file.url for file in call.inputs.values()]),
        )
        if status in _FAILED:
            reason = extract_message(first_value(document, ("videos.0.error", "job.error", "error", "message")))
            words = scrubbed(reason, self._exchange.secrets) or "no reason given"
            return Failed(ProviderTaskFailed(f"Pika could not make the video: {words}"))
        if status == "finished" and files.has_film:
            url, *others = files.urls
            return Ready(url=url, other_urls=others, details=_details(call, document, url))
        progress = first_value(document, ("videos.0.progress",))
        return Pending(_part(progress), status=scrubbed(status, longest=40))

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Return ``False``: the API cannot stop a task."""
        return False

    async def find(self, call: Call) -> TaskRef | None:
        """Return ``None`` (inconclusive, see ``can_find``): the API has no list to search."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()


def from_settings(settings: Settings, policy: Policy) -> Pika:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    if settings.pika_token is None or not settings.pika_token.get_secret_value():
        raise ProviderNotConfigured("Pika has no key on this worker. Set PIKAPI_BEARER_TOKEN.")
    return Pika(
        Exchange(
            settings.pika_base_url,
            policy,
            {"authorization": f"Bearer {settings.pika_token.get_secret_value()}"},
            provider="Pika",
            key_setting="PIKAPI_BEARER_TOKEN",
            timeout_seconds=settings.exchange_timeout_seconds,
        )
    )


def title(url: str) -> str:
    """Return a title made from the result's URL: its last segment up to a comma, without seed and extension."""
    name = "" if is_data(url) else unquote(urlsplit(url).path.rpartition("/")[2])
    name = re.sub(r"(_seed.*|\.[A-Za-z0-9]{1,5})\Z", "", name, count=1)
    words = scrubbed(name.replace("_", " ").partition(",")[0], longest=_LONGEST_TITLE)
    return words or "Generated Video"


def _body(call: Call) -> dict[str, Any]:
    require_url_inputs(call)
    image, given = call.inputs.get("image"), call.parameters
    if image is None or image.content_type not in _IMAGES:
        got = "none" if image is None else image.content_type
        raise ProviderRefused(f"Invalid image file type. Allowed: JPEG, PNG, WebP, GIF. Got: {got}", field="data.image")
    parameters = {name: given[name] for name in ("motion", "guidanceScale", "negativePrompt", "seed") if name in given}
    options = {name: given[name] for name in ("frameRate", "aspectRatio") if name in given}
    body = {
        "model": call.model.remote or "1.5",
        "image": image.url,
        "options": options | {"parameters": parameters},
        "ref": call.key,
    }
    return {"promptText": given["prompt"]} | body if given.get("prompt") else body


def _details(call: Call, document: Any, url: str) -> dict[str, Any]:
    details: dict[str, Any] = {"title": title(url), "version": call.model.remote or "1.5"}
    seed = first_value(document, ("videos.0.seed",))
    return details | ({"seed": seed} if isinstance(seed, int) else {})


def _part(progress: Any) -> float | None:
    known = isinstance(progress, int | float) and not isinstance(progress, bool)
    return min(max(progress / 100, 0.0), 1.0) if known else None
