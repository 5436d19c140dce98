"""The guarded HTTP clients: for downloads, for callbacks, and plain clients for SDKs."""

from __future__ import annotations

import ssl

import httpx2

from providers.http.downloads import Download, GuardedClient
from providers.http.policy import Policy
from providers.http.posts import AsyncGuardedClient, Reply
from providers.http.transport import AsyncGuardedTransport, GuardedTransport

__all__ = [
    "AsyncGuardedClient",
    "Download",
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
    """Return an ordinary ``httpx2.Client`` that only connects to allowed addresses, for SDKs that accept a client.

    It raises ``AddressForbidden`` for other addresses and ignores proxies in the environment. With
    ``follow_redirects`` it checks each redirect. It does not limit the size of a body: use ``GuardedClient`` for files.
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
    """Return the same client for asyncio."""
    return httpx2.AsyncClient(
        transport=AsyncGuardedTransport(policy, tls=tls, idle_connections=_IDLE_CONNECTIONS),
        trust_env=False,
        timeout=timeout_seconds,
        max_redirects=3,
    )
