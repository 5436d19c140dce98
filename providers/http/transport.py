"""Transports for ``httpx2`` clients that check every request.

Every request is checked by its URL and every connection by its address, including redirects, retries and new
connections of a pool. ``AddressForbidden`` is neither an ``httpx2.HTTPError`` nor an ``OSError``, so code that retries
transport errors does not catch it. Proxies in the environment are ignored.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

import httpcore2
import httpx2

from providers.http.backend import AsyncGuardedBackend, GuardedBackend
from providers.http.deadline import Deadline
from providers.http.guard import check_url
from providers.http.policy import Policy

_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)


class GuardedTransport(httpx2.BaseTransport):
    """Transport that only connects to allowed addresses.

    Args:
        policy: what may be called.
        tls: trusted authorities; by default the system's, or those of ``SSL_CERT_FILE``.
        deadline: when every connection of this transport ends.
        idle_connections: how many idle connections are kept.
        dialer: opens the checked connections; replaced in tests.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        tls: ssl.SSLContext | None = None,
        deadline: Deadline | None = None,
        idle_connections: int = 0,
        dialer: httpcore2.NetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls or system_trust(),
            max_connections=100,
            max_keepalive_connections=idle_connections,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(policy, deadline=deadline, dialer=dialer),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        check_url(request.url, self._policy)
        with _translated():
            response = self._pool.handle_request(_core_request(request))
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(cast(Iterator[bytes], response.stream)),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class AsyncGuardedTransport(httpx2.AsyncBaseTransport):
    """``GuardedTransport`` for ``httpx2.AsyncClient`` on asyncio."""

    def __init__(
        self,
        policy: Policy,
        *,
        tls: ssl.SSLContext | None = None,
        idle_connections: int = 0,
        dialer: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or system_trust(),
            max_connections=100,
            max_keepalive_connections=idle_connections,
            keepalive_expiry=5.0,
            network_backend=AsyncGuardedBackend(policy, dialer=dialer),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        check_url(request.url, self._policy)
        with _translated():
            response = await self._pool.handle_async_request(_core_request(request))
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_AsyncBody(cast(AsyncIterator[bytes], response.stream)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


@lru_cache(maxsize=1)
def system_trust() -> ssl.SSLContext:
    """Return the system's certificate authorities. Cached: loading them takes tens of milliseconds."""
    return httpcore2.default_ssl_context()


class _Body(httpx2.SyncByteStream):
    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._parts

    def close(self) -> None:
        with _translated():
            self._parts.close()  # type: ignore[attr-defined]  # the pool's stream has it


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for part in self._parts:
                yield part

    async def aclose(self) -> None:
        with _translated():
            await self._parts.aclose()  # type: ignore[attr-defined]  # the pool's stream has it


def _core_request(request: httpx2.Request) -> httpcore2.Request:
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the pool's errors as the client's errors of the same names."""
    try:
        yield
    except _ERRORS as error:
        kind = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise kind(str(error)) from error
    except ValueError as error:
        # A Content-Length of 5,000 digits matches the parser's pattern, but exceeds Python's limit for int().
        raise httpx2.RemoteProtocolError("malformed reply") from error
