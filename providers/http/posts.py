"""Post callbacks to the web: one request, no redirects, and never to the operator's own network."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpcore2
import httpx2

from providers.http.guard import check_url
from providers.http.policy import Policy
from providers.http.response_head import MOST_HEADER_BYTES, status_listener
from providers.http.transport import AsyncGuardedTransport

#: How much of a reply's body is kept, for the delivery log.
EXCERPT_BYTES = 4096
_HEADERS = {"user-agent": "Telecine", "accept": "*/*", "accept-encoding": "identity", "connection": "close"}


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a POST."""

    #: ``None`` if there was no reply; see ``failure``.
    status: int | None
    #: Names are in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The first 4 KiB of the body.
    body_excerpt: bytes = b""
    elapsed_seconds: float = 0.0
    #: Why there was no reply, for the delivery log.
    failure: str | None = None


class AsyncGuardedClient:
    """Posts callbacks through the guard. Opens a new connection for each post.

    Args:
        policy: what may be called.
        tls: trusted authorities; the system's by default.
        dialer: opens the checked connections; replaced in tests.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        tls: ssl.SSLContext | None = None,
        dialer: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._tls = tls
        self._dialer = dialer

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float = 20.0) -> Reply:
        """Post ``body`` and return the reply; ``timeout_seconds`` covers everything from lookup to reading the body.

        Once the headers have been received, the status is the result, even if a header is malformed or reading the body
        fails. If the process crashes
        here, it is unknown whether the receiver has the callback: it is sent again with the same id.

        Raises:
            AddressForbidden: the URL may not be called.
        """
        started = time.monotonic()
        target = check_url(url, self._policy)
        seen = _Seen()
        failure: str | None = None
        listening = status_listener.set(seen.note_status)
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._exchange(target, body, headers, timeout_seconds, seen)
        except TimeoutError:
            failure = f"no complete reply within {timeout_seconds:g} seconds"
        except (httpx2.TransportError, ssl.SSLError) as error:
            failure = f"{type(error).__name__}: {error}"
        finally:
            status_listener.reset(listening)
        elapsed = time.monotonic() - started
        if seen.status is None:
            return Reply(None, elapsed_seconds=elapsed, failure=failure)
        return Reply(seen.status, seen.headers, bytes(seen.excerpt), elapsed)

    async def _exchange(
        self, target: httpx2.URL, body: bytes, headers: Mapping[str, str], timeout_seconds: float, seen: _Seen
    ) -> None:
        transport = AsyncGuardedTransport(self._policy, tls=self._tls, dialer=self._dialer)
        client = httpx2.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=timeout_seconds, headers=_HEADERS
        )
        async with client, client.stream("POST", target, content=body, headers=dict(headers)) as response:
            if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > MOST_HEADER_BYTES:
                raise httpx2.RemoteProtocolError(f"headers of more than {MOST_HEADER_BYTES} bytes")
            seen.status, seen.headers = response.status_code, dict(response.headers)
            async for part in response.aiter_raw():
                seen.excerpt += part[: EXCERPT_BYTES - len(seen.excerpt)]
                if len(seen.excerpt) >= EXCERPT_BYTES:
                    break


@dataclass(slots=True)
class _Seen:
    """What has been received so far; read after a timeout."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    excerpt: bytearray = field(default_factory=bytearray)

    def note_status(self, status: int) -> None:
        """Record the status before the headers are parsed: it counts even if they cannot be."""
        self.status = status
