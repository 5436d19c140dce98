"""Use providers' SDKs to build requests, and only for that.

    response = await send_sdk_request(client.predictions.async_get(id), paid=False)

The SDKs are based on httpx and have their own retries, timeouts and error classes. Here an SDK gets a transport that
opens no socket: it passes the request to ``Exchange``, which sends it once, through the guard. A failure is raised as a
``ProviderError`` through the SDK, so that the SDK does not retry. Responses are read as sent by the provider, so an
SDK's outdated model class does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

import httpx

from providers.http.exchange import Body, Exchange
from providers.http.response import ProviderResponse, Refine
from schemas.errors import ProviderError, ProviderRefused

#: The only headers of an SDK that are sent. The exchange adds the key; the others would disclose our environment.
_PASSED_ON = ("content-type", "content-length")


@dataclass(slots=True)
class _PendingRequest:
    """One call of an SDK's method, and its response."""

    paid: bool
    refine: Refine | None
    #: Whether its request has been passed on; a second one is rejected.
    used: bool = False
    response: ProviderResponse | None = None


_current: ContextVar[_PendingRequest | None] = ContextVar("telecine_sdk_request", default=None)


class SdkTransport(httpx.AsyncBaseTransport):
    """Transport of an SDK's ``httpx`` client. Safe for concurrent calls."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._origin = _origin(httpx.URL(exchange.base_url))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the SDK's request and return the response, which has a success status.

        Raises:
            ProviderRefused: the SDK sends a second request, one to another host, or one outside ``send_sdk_request``.
            ProviderError: see ``Exchange.send``.
        """
        pending = _current.get()
        if pending is None or pending.used or _origin(request.url) != self._origin:
            raise ProviderRefused(f"{self._exchange.provider}'s SDK tried to send an unexpected request.")
        pending.used = True
        response = await self._exchange.send(
            request.method, str(request.url), body=_body(request), paid=pending.paid, refine=pending.refine
        )
        pending.response = response
        kind = {"content-type": response.headers.get("content-type", "application/json")}
        return httpx.Response(response.status, headers=kind, content=response.body, request=request)


async def send_sdk_request(
    sdk_call: Awaitable[object], *, paid: bool, refine: Refine | None = None
) -> ProviderResponse:
    """Await one call of an SDK's method and return the response to its request, as sent by the provider.

    The SDK's own result is ignored, even if it is an error.

    Raises:
        ProviderRefused: the SDK could not build the request. Nothing was sent.
        ProviderError: see ``Exchange.send``.
    """
    pending = _PendingRequest(paid, refine)
    token = _current.set(pending)
    try:
        await sdk_call
    except ProviderError:
        if pending.response is None:
            raise
    except Exception as error:
        if pending.used and pending.response is None:
            raise
        if pending.response is None:
            raise ProviderRefused(f"the SDK could not build the request: {type(error).__name__}") from None
    finally:
        _current.reset(token)
    if pending.response is None:
        raise ProviderRefused("the SDK did not send a request")
    return pending.response


def sdk_client(transport: SdkTransport) -> httpx.AsyncClient:
    """Return a client for SDKs that accept one. It ignores the environment and does not follow redirects."""
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
    """Yield the parts of a form with a file, which is read in a thread."""
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part
