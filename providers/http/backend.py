"""Open sockets to checked addresses only: look the name up once, check every address, connect to one of them.

There is no second lookup between check and connection, which an attacker's name server could answer differently (DNS
rebinding). TLS still verifies the *name*, because the pool starts it with the URL's host.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Future

import httpcore2

from providers.http.addresses import Address
from providers.http.deadline import Deadline, DeadlineStream
from providers.http.guard import resolve
from providers.http.policy import Policy
from providers.http.response_head import AsyncHeadStream, HeadStream

#: Maximum number of addresses of a name that are tried.
MOST_ADDRESSES = 6
_DEAD = (httpcore2.ConnectError, httpcore2.ConnectTimeout)
_Options = Iterable[httpcore2.SOCKET_OPTION] | None


class GuardedBackend(httpcore2.NetworkBackend):
    """Network backend of a connection pool that only connects to addresses allowed by the policy.

    Args:
        policy: what may be called.
        deadline: when every connection ends.
        dialer: opens the checked connections; replaced in tests.
    """

    def __init__(
        self, policy: Policy, *, deadline: Deadline | None = None, dialer: httpcore2.NetworkBackend | None = None
    ) -> None:
        self._policy = policy
        self._deadline = deadline or Deadline(None)
        self._dialer = dialer or httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore2.NetworkStream:
        """Connect to one of the host's addresses; ``timeout`` covers lookup and connection together.

        Raises:
            AddressForbidden: the host may not be called.
            httpcore2.ConnectError: the lookup or the connection failed.
            httpcore2.ConnectTimeout: the lookup or the connection took too long.
        """
        within = Deadline(self._deadline.limit(timeout))
        try:
            addresses = _look_up(host, port, self._policy).result(within.limit(None))[:MOST_ADDRESSES]
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name server did not answer in time") from None
        except OSError as error:
            raise httpcore2.ConnectError(f"the name cannot be looked up: {error.strerror}") from error
        for left in range(len(addresses), 0, -1):
            address = str(addresses[-left])
            try:
                stream = self._dialer.connect_tcp(address, port, within.share(left), local_address, socket_options)
            except _DEAD:
                if left == 1:
                    raise
            else:
                return HeadStream(DeadlineStream(stream, self._deadline))
        raise AssertionError("resolve returns at least one address")


class AsyncGuardedBackend(httpcore2.AsyncNetworkBackend):
    """``GuardedBackend`` for asyncio. It has no deadline: the caller uses ``asyncio.timeout``."""

    def __init__(self, policy: Policy, *, dialer: httpcore2.AsyncNetworkBackend | None = None) -> None:
        self._policy = policy
        self._dialer = dialer or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the host's addresses; see ``GuardedBackend.connect_tcp``."""
        within = Deadline(timeout)
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.wrap_future(_look_up(host, port, self._policy))
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name server did not answer in time") from None
        except OSError as error:
            raise httpcore2.ConnectError(f"the name cannot be looked up: {error.strerror}") from error
        addresses = found[:MOST_ADDRESSES]
        for left in range(len(addresses), 0, -1):
            address = str(addresses[-left])
            try:
                stream = await self._dialer.connect_tcp(
                    address, port, within.share(left), local_address, socket_options
                )
            except _DEAD:
                if left == 1:
                    raise
            else:
                return AsyncHeadStream(stream)
        raise AssertionError("resolve returns at least one address")


def _look_up(host: str, port: int, policy: Policy) -> Future[tuple[Address, ...]]:
    """Return a future of the host's checked addresses.

    getaddrinfo has no timeout, and an attacker's name server may be slow on purpose. The lookup therefore runs in a
    daemon thread, which blocks neither the job nor the worker's exit.
    """
    future: Future[tuple[Address, ...]] = Future()
    future.set_running_or_notify_cancel()

    def wait() -> None:
        try:
            future.set_result(resolve(host, port, policy))
        except BaseException as error:  # re-raised where the future is awaited
            future.set_exception(error)

    threading.Thread(target=wait, name="telecine-lookup", daemon=True).start()
    return future
