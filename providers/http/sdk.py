"""The seam to vendors' own SDKs: an SDK writes the request and nothing else.

    answer = await ask(client.predictions.async_get(id), paid=False)

The SDKs are made for httpx and bring retries, timeouts and error classes of their own. Here their client gets a
transport that opens no socket: it hands the one request to ``Exchange``, which sends it through the guard, once, and
judges the answer. A fault is raised as a ``ProviderError`` straight through the SDK, so that nothing in it retries;
an answer is read from what the vendor sent, so that a model class that does not know a word of it does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

import httpx

from providers.http.exchange import Answer, Body, Exchange, Refine
from schemas.errors import ProviderError, ProviderRefused

#: What of an SDK's headers goes out. The key is the exchange's to send, and what else they tell is nobody's business.
_PASSED_ON = ("content-type", "content-length")


@dataclass(slots=True)
class _Question:
    """One call of an SDK, and what came of it."""

    paid: bool
    refine: Refine | None
    #: Whether its one request has been handed over.
    used: bool = False
    answer: Answer | None = None


_question: ContextVar[_Question | None] = ContextVar("telecine_sdk_question", default=None)


class SdkTransport(httpx.AsyncBaseTransport):
    """What an SDK's ``httpx`` client sends with. One may serve any number of calls at once."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._origin = _origin(httpx.URL(exchange.base_url))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, of a success status.

        Raises:
            ProviderRefused: the SDK wants to send again, without being asked, or to another host. Nothing is sent.
            ProviderError: as ``Exchange.send`` has it.
        """
        question = _question.get()
        if question is None or question.used or _origin(request.url) != self._origin:
            raise ProviderRefused(f"{self._exchange.vendor}'s SDK wanted to send what it was not asked for.")
        question.used = True
        answer = await self._exchange.send(
            request.method, str(request.url), body=_body(request), paid=question.paid, refine=question.refine
        )
        question.answer = answer
        kind = {"content-type": answer.headers.get("content-type", "application/json")}
        return httpx.Response(answer.status, headers=kind, content=answer.body, request=request)


async def ask(speaking: Awaitable[object], *, paid: bool, refine: Refine | None = None) -> Answer:
    """What the vendor answered to the one request that the SDK makes of ``speaking``, one call of its methods.

    What the SDK makes of the answer does not matter, nor whether it can read it.

    Raises:
        ProviderRefused: the SDK could not write the request. Nothing was sent.
        ProviderError: as ``Exchange.send`` has it.
    """
    question = _Question(paid, refine)
    token = _question.set(question)
    try:
        await speaking
    except ProviderError:
        if question.answer is None:
            raise
    except Exception as error:
        if question.used and question.answer is None:
            raise
        if question.answer is None:
            raise ProviderRefused(f"the SDK could not write the request: {type(error).__name__}") from None
    finally:
        _question.reset(token)
    if question.answer is None:
        raise ProviderRefused("the SDK sent nothing")
    return question.answer


def sdk_client(transport: SdkTransport) -> httpx.AsyncClient:
    """A client for SDKs that take one. It reads no environment and follows nothing; limits are the exchange's."""
    return httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _body(request: httpx.Request) -> Body | None:
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    if isinstance(request.stream, httpx.ByteStream):
        whole = b"".join(request.stream)
        return Body(_once(whole), headers) if whole else None
    return Body(_parts(iter(cast(httpx.SyncByteStream, request.stream))), headers)


async def _once(whole: bytes) -> AsyncIterator[bytes]:
    yield whole


async def _parts(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A form with a file in it, piece by piece; the file is read beside the loop."""
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part
