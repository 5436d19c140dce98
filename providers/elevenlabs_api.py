"""ElevenLabs by its SDK: Scribe writes down what is sung, forced alignment finds when given words are sung.

Both answer at once, after as many seconds as the work takes: an answer that is lost is an unknown outcome, since
nothing there can be searched. Of the SDK, its requests are used, and nothing else: see ``providers.http.sdk``.
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
from providers.elevenlabs_words import words_in
from providers.fields import found, text
from providers.http.exchange import Answer, Exchange
from providers.http.policy import Policy
from providers.http.sdk import SdkTransport, ask, sdk_client
from providers.http.verdicts import retry_after
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

#: Repeating is the engine's: a repetition of the SDK's sends the file without the other fields of the form.
_ONCE = RequestOptions(max_retries=0)
#: Waits in seconds where the vendor names none.
_RATE_SECONDS, _CONCURRENCY_SECONDS, _BUSY_SECONDS = 10.0, 20.0, 5.0
_CONCURRENCY = frozenset({"concurrent_limit_exceeded", "too_many_concurrent_requests"})
_ANSWER_BYTES = 64 * 1024 * 1024


class ElevenLabs:
    """ElevenLabs' speech API. See ``RemoteProvider``."""

    can_find = False

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        # Without its key the SDK would send one of the environment's; the exchange sends ours.
        wrapper = AsyncClientWrapper(
            base_url=exchange.base_url, httpx_client=sdk_client(SdkTransport(exchange)), api_key="kept-by-the-exchange"
        )
        self._scribe = AsyncSpeechToTextClient(client_wrapper=wrapper)
        self._alignment = AsyncForcedAlignmentClient(client_wrapper=wrapper)

    async def submit(self, call: Call) -> Ready:
        """The words, ``{"words": [{"text", "start", "end"}], "language"}``; times that are not known are ``None``.

        A crash before the answer is written down loses it: what was paid for is then an unknown outcome.
        """
        audio = call.inputs.get("audio")
        if audio is None or not audio.content_type.startswith("audio/"):
            got = "none" if audio is None else audio.content_type
            raise ProviderRefused(f"{call.model.id} needs audio; got: {got}", field="data.audio")
        aligning = not call.model.remote
        answer = await self._answer(call, audio, aligning=aligning)
        document = answer.json()
        words = words_in(document)
        if words is None:
            raise ProviderOutcomeUnknown("ElevenLabs took the call and answered without words. It may be paid for.")
        language = text(document, ("language_code",)) or None
        details = {"version": call.model.remote} if call.model.remote else {}
        return Ready(value={"words": words, "language": language}, details=details | _facts(document))

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """There is nothing to ask for: every submission has its answer."""
        return Failed(ProviderTaskLost("ElevenLabs answers at once; it has no tasks to ask for."), charged=True)

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """``False``: there is no task."""
        return False

    async def find(self, call: Call) -> TaskRef | None:
        """``None``, which is no answer: there is no list to look in."""
        return None

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._exchange.aclose()

    async def _answer(self, call: Call, audio: MediaInput, *, aligning: bool) -> Answer:
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
            return await ask(work, paid=True, refine=self._refused)

    def _refused(self, answer: Answer) -> ProviderError | None:
        """The vendor's codes, where they tell more than the status: two shapes of errors have them."""
        code, said = _code(answer), self._exchange.message(answer)
        told = (
            f"ElevenLabs answered HTTP {answer.status}" + (f" ({code})" if code else "") + (f": {said}" if said else "")
        )
        wait = retry_after(answer.headers)
        if answer.status in (401, 402, 403) and code in ("quota_exceeded", "insufficient_credits"):
            return QuotaExhausted(f"{told.rstrip('.')}. Top up the account of ELEVENLABS_API_KEY.")
        if answer.status != 429:
            return None
        if code == "system_busy":
            return ProviderUnavailable(told, retry_after_seconds=wait or _BUSY_SECONDS)
        default = _CONCURRENCY_SECONDS if code in _CONCURRENCY else _RATE_SECONDS
        return RateLimited(told, retry_after_seconds=wait or default)


def from_settings(settings: Settings, policy: Policy) -> ElevenLabs:
    """The adapter.

    Raises:
        ProviderNotConfigured: there is no key, or the base URL may not be called.
    """
    if settings.elevenlabs_key is None or not settings.elevenlabs_key.get_secret_value():
        raise ProviderNotConfigured("ElevenLabs API key is required. Set ELEVENLABS_API_KEY.")
    return ElevenLabs(
        Exchange(
            settings.elevenlabs_base_url,
            policy,
            {"xi-api-key": settings.elevenlabs_key.get_secret_value()},
            vendor="ElevenLabs",
            key_setting="ELEVENLABS_API_KEY",
            timeout_seconds=settings.elevenlabs_timeout_seconds,
            limit_bytes=_ANSWER_BYTES,
        )
    )


def _code(answer: Answer) -> str:
    try:
        document = answer.json()
    except ProviderError:
        return ""
    code = text(document, ("detail.code", "detail.status"))
    return code if code.replace("_", "").isalnum() and len(code) <= 64 else ""


def _facts(document: Mapping[str, Any]) -> dict[str, Any]:
    told = {"transcription": text(document, ("transcription_id",)), "loss": found(document, ("loss",))}
    return {name: value for name, value in told.items() if isinstance(value, str | int | float) and value != ""}
