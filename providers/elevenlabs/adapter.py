"""ElevenLabs adapter, by its SDK: Scribe transcribes audio, forced alignment finds the times of given words.

Both are synchronous: the response arrives when the work is done. A lost response is an unknown outcome, because the
API has no list to search. The SDK is only used to build requests, see ``providers.http.sdk``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from elevenlabs.core.client_wrapper import AsyncClientWrapper
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.forced_alignment.client import AsyncForcedAlignmentClient
from elevenlabs.speech_to_text.client import AsyncSpeechToTextClient

from providers.base import Call, Failed, MediaInput, Pending, Ready, TaskRef
from providers.elevenlabs.words import words_in
from providers.http.exchange import Exchange
from providers.http.policy import Policy
from providers.http.response import ProviderResponse, first_text, first_value
from providers.http.retry_after import parse_retry_after
from providers.http.sdk import SdkTransport, sdk_client, send_sdk_request
from schemas.errors import (
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderRefused,
    ProviderTaskLost,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)
from schemas.settings import Settings

#: No retries by the SDK: the engine retries, and the SDK would repeat the file without the form's other fields.
_ONCE = RequestOptions(max_retries=0)
#: Default waits in seconds, for responses without ``Retry-After``.
_RATE_SECONDS, _CONCURRENCY_SECONDS, _BUSY_SECONDS = 10.0, 20.0, 5.0
_CONCURRENCY = frozenset({"concurrent_limit_exceeded", "too_many_concurrent_requests"})
_ANSWER_BYTES = 64 * 1024 * 1024


class ElevenLabs:
    """ElevenLabs' speech API; see ``RemoteProvider``."""

    can_find = False

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        # Without a key the SDK would take one from the environment. The exchange sends the configured one.
        wrapper = AsyncClientWrapper(
            base_url=exchange.base_url, httpx_client=sdk_client(SdkTransport(exchange)), api_key="kept-by-the-exchange"
        )
        self._scribe = AsyncSpeechToTextClient(client_wrapper=wrapper)
        self._alignment = AsyncForcedAlignmentClient(client_wrapper=wrapper)

    async def submit(self, call: Call) -> Ready:
        """Return the words, ``{"words": [{"text", "start", "end"}], "language"}``; unknown times are ``None``.

        A crash before the response is recorded loses it: the paid call then has an unknown outcome.
        """
        audio = call.inputs.get("audio")
        if audio is None or not audio.content_type.startswith("audio/"):
            got = "none" if audio is None else audio.content_type
            raise ProviderRefused(f"{call.model.id} needs audio; got: {got}", field="data.audio")
        aligning = not call.model.remote
        response = await self._answer(call, audio, aligning=aligning)
        document = response.json()
        words = words_in(document)
        if words is None:
            raise ProviderOutcomeUnknown("ElevenLabs accepted the call but returned no words. It may be charged.")
        language = first_text(document, ("language_code",)) or None
        details = {"version": call.model.remote} if call.model.remote else {}
        return Ready(value={"words": words, "language": language}, details=details | _facts(document))

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return ``Failed``: the API is synchronous and has no tasks."""
        return Failed(ProviderTaskLost("ElevenLabs answers synchronously; it has no tasks to poll."), charged=True)

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Return ``False``: the API has no tasks."""
        return False

    async def find(self, call: Call) -> TaskRef | None:
        """Return ``None`` (inconclusive, see ``can_find``): the API has no list to search."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._exchange.aclose()

    async def _answer(self, call: Call, audio: MediaInput, *, aligning: bool) -> ProviderResponse:
        path = await asyncio.to_thread(audio.load)
        given = call.parameters
        with path.open("rb") as file:
            form = (f"audio{path.suffix}", file, audio.content_type)
            if aligning:
                work: Any = self._alignment.create(file=form, text=str(given["text"]), request_options=_ONCE)
            else:
                work = self._scribe.convert(
                    model_id=call.model.remote,
                    file=form,
                    tag_audio_events=bool(given.get("tag_audio_events", False)),
                    timestamps_granularity="word",
                    request_options=_ONCE,
                    **({"language_code": given["language_code"]} if given.get("language_code") else {}),
                )
            return await send_sdk_request(work, paid=True, refine=self._refused)

    def _refused(self, response: ProviderResponse) -> ProviderError | None:
        """Map ElevenLabs' error codes where they are more precise than the HTTP status."""
        code, message = _code(response), self._exchange.message(response)
        reason = (
            f"ElevenLabs answered HTTP {response.status}"
            + (f" ({code})" if code else "")
            + (f": {message}" if message else "")
        )
        wait = parse_retry_after(response.headers.get("retry-after"))
        if response.status in (401, 402, 403) and code in ("quota_exceeded", "insufficient_credits"):
            return QuotaExhausted(f"{reason.rstrip('.')}. Top up the account of ELEVENLABS_API_KEY.")
        if response.status != 429:
            return None
        if code == "system_busy":
            return ProviderUnavailable(reason, retry_after_seconds=wait or _BUSY_SECONDS)
        default = _CONCURRENCY_SECONDS if code in _CONCURRENCY else _RATE_SECONDS
        return RateLimited(reason, retry_after_seconds=wait or default)


def from_settings(settings: Settings, policy: Policy) -> ElevenLabs:
    """Return the adapter.

    Raises:
        ProviderNotConfigured: the key is missing, or the base URL may not be called.
    """
    if settings.elevenlabs_key is None or not settings.elevenlabs_key.get_secret_value():
        raise ProviderNotConfigured("ElevenLabs API key is required. Set ELEVENLABS_API_KEY.")
    return ElevenLabs(
        Exchange(
            settings.elevenlabs_base_url,
            policy,
            {"xi-api-key": settings.elevenlabs_key.get_secret_value()},
            provider="ElevenLabs",
            key_setting="ELEVENLABS_API_KEY",
            timeout_seconds=settings.elevenlabs_timeout_seconds,
            limit_bytes=_ANSWER_BYTES,
        )
    )


def _code(response: ProviderResponse) -> str:
    try:
        document = response.json()
    except ProviderError:
        return ""
    code = first_text(document, ("detail.code", "detail.status"))
    return code if code.replace("_", "").isalnum() and len(code) <= 64 else ""


def _facts(document: Mapping[str, Any]) -> dict[str, Any]:
    details = {"transcription": first_text(document, ("transcription_id",)), "loss": first_value(document, ("loss",))}
    return {name: value for name, value in details.items() if isinstance(value, str | int | float) and value != ""}
