"""Replicate adapter, by its SDK: predictions of any model.

If the response to a submission is lost, ``find`` recognizes the prediction by its input. The SDK is only used to build
requests, see ``providers.http.sdk``. Responses are parsed here, because the SDK's ``Prediction`` rejects the status
``aborted`` and drops ``data_removed``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from replicate.client import Client

from providers.base import Call, Failed, Pending, Ready, TaskRef, require_url_inputs
from providers.http.exchange import Exchange
from providers.http.policy import Policy
from providers.http.response import ProviderResponse, first_text, task_lost_on_404
from providers.http.retry_after import parse_retry_after
from providers.http.scrub import scrubbed
from providers.http.sdk import SdkTransport, send_sdk_request
from providers.replicate.matching import Match, match_prediction, prediction_body
from providers.replicate.results import has_started, task_status
from schemas.errors import (
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderTaskLost,
    QuotaExhausted,
    RateLimited,
)
from schemas.settings import Settings

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_RESETS = re.compile(r"resets in ~?\s*(\d+(?:\.\d+)?)\s*s")
_NO_CREDIT = re.compile(r"(?i)insufficient (?:credit|funds)|spend(?:ing)? limit")
#: Range around the submission in which its prediction is searched for. Wide, because Replicate's clock may be a quarter
#: of an hour off and the prediction must not look absent.
_BEFORE_SECONDS, _AFTER_SECONDS = 900.0, 1800.0
#: Limit of pages searched, of 100 predictions each.
_MOST_PAGES = 100


class Replicate:
    """Replicate's API; see ``RemoteProvider``.

    Args:
        exchange: the connection to the API.
        settle_seconds: how long a new prediction may be missing from the list.
    """

    can_find = True

    def __init__(self, exchange: Exchange, *, settle_seconds: float = 300.0) -> None:
        self._exchange = exchange
        self._settle_seconds = settle_seconds
        # The exchange sends the configured token. Without one here the SDK would take one from the environment.
        self._sdk = Client(
            api_token="kept-by-the-exchange",  # noqa: S106 - no secret
            base_url=exchange.base_url,
            transport=SdkTransport(exchange),
            trust_env=False,
        )

    async def submit(self, call: Call) -> TaskRef:
        """Create the prediction. If the response has no readable id, the outcome is unknown."""
        require_url_inputs(call)
        body = prediction_body(call)
        creation = self._sdk.predictions.async_create(version=body.version, input=dict(body.input))
        response = await send_sdk_request(creation, paid=True, refine=self._refused)
        task = first_text(response.json(), ("id",))
        if not _ID.match(task):
            raise response.unreadable("no prediction id")
        return TaskRef(task)

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return the prediction's state, see ``task_status``."""
        try:
            response = await send_sdk_request(
                self._sdk.predictions.async_get(_known(task)),
                paid=False,
                refine=lambda response: task_lost_on_404(response) or self._refused(response),
            )
        except ProviderTaskLost as error:
            return Failed(error, charged=True)
        return task_status(response, self._exchange.secrets)

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Cancel the prediction. Return ``False`` if it has run or ended by itself, and is therefore billed."""
        try:
            response = await send_sdk_request(
                self._sdk.predictions.async_cancel(_known(task)), paid=False, refine=task_lost_on_404
            )
        except ProviderTaskLost:
            return False
        document = response.json_or_none()
        return first_text(document, ("status",)).lower() not in ("succeeded", "failed") and not has_started(document)

    async def find(self, call: Call) -> TaskRef | None:
        """Return the prediction that an earlier submission of this call created; ``None`` if there certainly is none.

        Raises:
            ProviderOutcomeUnknown: several predictions may be this call's, or it may not be listed yet.
            ProviderError: the list could not be read.
        """
        body = prediction_body(call)
        now = time.time() if call.now is None else call.now
        submitted_at = now if call.submitted_at is None else call.submitted_at
        maybe: list[str] = []
        page: str | None = _first_page(submitted_at)
        for _ in range(_MOST_PAGES):
            results, page = await self._page(page)
            for prediction in results:
                id_ = first_text(prediction, ("id",))
                relation = match_prediction(call, body, prediction)
                if relation is Match.OURS and _ID.match(id_):
                    return TaskRef(id_)
                if relation is not Match.OTHER:
                    maybe.append(scrubbed(id_, longest=64))
            if page is None:
                self._check_absent(now - submitted_at, maybe)
                return None
        raise ProviderOutcomeUnknown(
            f"Replicate lists more than {_MOST_PAGES} pages of predictions; search there manually."
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()

    async def _page(self, page: str | None) -> tuple[list[Mapping[str, Any]], str | None]:
        response = await send_sdk_request(
            self._sdk.predictions.async_list(page or ...), paid=False, refine=self._refused
        )
        document = response.json()
        results = document.get("results") if isinstance(document, dict) else None
        if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
            raise response.unreadable("a list without results")
        following = first_text(document, ("next",))
        # Only the link's query is used: a response must not decide which host is called.
        return results, f"/v1/predictions?{urlsplit(following).query}" if following else None

    def _check_absent(self, age_seconds: float, maybe: list[str]) -> None:
        if maybe:
            named = ", ".join(maybe[:5]) + (", …" if len(maybe) > 5 else "")
            raise ProviderOutcomeUnknown(
                f"Replicate has {len(maybe)} predictions that may be this call's, and nothing identifies the right "
                f"one: {named}. Look there, then settle it with `telecine resolve`."
            )
        left = self._settle_seconds - age_seconds
        if left > 0:
            raise ProviderOutcomeUnknown(
                "Replicate does not list the call yet, but it may appear; will check again later.",
                retry_after_seconds=left,
            )

    def _refused(self, response: ProviderResponse) -> ProviderError | None:
        """Map errors about rate limits and credit, which Replicate describes only in its message."""
        message = self._exchange.message(response)
        if response.status == 429:
            reset = _RESETS.search(message)
            waits = [float(reset[1])] if reset else []
            waits += [header] if (header := parse_retry_after(response.headers.get("retry-after"))) is not None else []
            return RateLimited(f"Replicate answered HTTP 429: {message}", retry_after_seconds=max(waits, default=None))
        if response.status < 500 and _NO_CREDIT.search(message):
            return QuotaExhausted(f"Replicate: {message.rstrip('.')}. Top up the account of REPLICATE_API_TOKEN.")
        return None


def from_settings(settings: Settings, policy: Policy) -> Replicate:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    if settings.replicate_token is None or not settings.replicate_token.get_secret_value():
        raise ProviderNotConfigured("Replicate has no key on this worker. Set REPLICATE_API_TOKEN.")
    exchange = Exchange(
        # Version 2 of the SDK expects /v1 in the same variable.
        settings.replicate_base_url.rstrip("/").removesuffix("/v1"),
        policy,
        {"authorization": f"Bearer {settings.replicate_token.get_secret_value()}"},
        provider="Replicate",
        key_setting="REPLICATE_API_TOKEN",
        timeout_seconds=settings.exchange_timeout_seconds,
        limit_bytes=16 * 1024 * 1024,
    )
    return Replicate(exchange, settle_seconds=settings.replicate_settle_seconds)


def _known(task: TaskRef) -> str:
    if not _ID.match(task.id):
        raise ProviderTaskLost(f"{scrubbed(task.id, longest=64)!r} is not a Replicate prediction id")
    return task.id


def _first_page(submitted_at: float) -> str:
    bounds = {"created_after": submitted_at - _BEFORE_SECONDS, "created_before": submitted_at + _AFTER_SECONDS}
    query = {name: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in bounds.items()}
    return f"/v1/predictions?{urlencode(query)}"
