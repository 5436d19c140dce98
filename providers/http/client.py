"""The one guarded HTTP client: downloads, callbacks, and plain clients for vendor SDKs."""

from __future__ import annotations

import ssl

import httpx2

from providers.http.downloads import Fetched, GuardedClient
from providers.http.policy import Policy
from providers.http.posts import AsyncGuardedClient, Reply
from providers.http.transport import AsyncGuardedTransport, GuardedTransport

__all__ = [
    "AsyncGuardedClient",
    "Fetched",
    "GuardedClient",
    "Policy",
    "Reply",
    "guarded_async_client",
    "guarded_client",
]

_IDLE_CONNECTIONS = 20


def guarded_client(
    policy: Policy, *, tls: ssl.SSLContext | None = None, timeout_seconds: float = 60.0
) -> httpx2.Client:
    """An ordinary ``httpx2.Client`` that reaches allowed addresses only, for SDKs that take a client.

    It raises ``AddressForbidden`` for others, reads no proxies from the environment and follows a redirect
    only when asked to, checking it. It does not bound the size of a body: files are for ``GuardedClient``.
    """
    return httpx2.Client(
        transport=GuardedTransport(policy, tls=tls, idle_connections=_IDLE_CONNECTIONS),
        trust_env=False,
        timeout=timeout_seconds,
        max_redirects=3,
    )


def guarded_async_client(
    policy: Policy, *, tls: ssl.SSLContext | None = None, timeout_seconds: float = 60.0
) -> httpx2.AsyncClient:
    """The same for asyncio."""
    return httpx2.AsyncClient(
        transport=AsyncGuardedTransport(policy, tls=tls, idle_connections=_IDLE_CONNECTIONS),
        trust_env=False,
        timeout=timeout_seconds,
        max_redirects=3,
    )
