"""Where sockets are opened: a name is looked up once, every answer is checked, a checked address is dialled.

Between check and connection there is no second lookup that an attacker's name server could answer
differently (DNS rebinding). TLS still verifies the *name*: the pool starts it with the URL's host.
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

#: Addresses of one name that are tried before giving up.
MOST_ADDRESSES = 6
_DEAD = (httpcore2.ConnectError, httpcore2.ConnectTimeout)
_Options = Iterable[httpcore2.SOCKET_OPTION] | None


class GuardedBackend(httpcore2.NetworkBackend):
    """The network as a connection pool sees it, without the addresses that the policy forbids.

    ``dialer`` opens the checked connections; only tests have another one than the system's sockets.
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
        """A stream to one of the host's addresses; ``timeout`` is for lookup and connection together.

        Raises:
            AddressForbidden: the host is refused.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: no lookup or no connection within the time.
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
                return DeadlineStream(stream, self._deadline)
        raise AssertionError("resolve returns at least one address")


class AsyncGuardedBackend(httpcore2.AsyncNetworkBackend):
    """The same for asyncio. The caller's ``asyncio.timeout`` is its deadline."""

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
        """A stream to one of the host's addresses; raises as ``GuardedBackend.connect_tcp`` does."""
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
                return await self._dialer.connect_tcp(address, port, within.share(left), local_address, socket_options)
            except _DEAD:
                if left == 1:
                    raise
        raise AssertionError("resolve returns at least one address")


def _look_up(host: str, port: int, policy: Policy) -> Future[tuple[Address, ...]]:
    """The host's checked addresses, to come.

    getaddrinfo takes no timeout, and the name server may be the attacker's own, slow on purpose. A daemon
    thread waits for it, so that it holds up neither the job that asked nor the worker's exit.
    """
    future: Future[tuple[Address, ...]] = Future()
    future.set_running_or_notify_cancel()

    def wait() -> None:
        try:
            future.set_result(resolve(host, port, policy))
        except BaseException as error:  # handed to whoever awaits the future
            future.set_exception(error)

    threading.Thread(target=wait, name="telecine-lookup", daemon=True).start()
    return future
