"""Prevent a paid request from being sent too late.

A recorded intent to submit is a lease. After it has expired, other processes may look the call up at the provider and
submit it themselves. A process that was suspended in the meantime must not send the request as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from schemas.errors import ProviderUnavailable

_may: ContextVar[Callable[[], bool] | None] = ContextVar("telecine_may_send", default=None)


@contextmanager
def send_only_while(may: Callable[[], bool]) -> Iterator[None]:
    """Only send paid requests in this context if ``may`` returns true, just before their first byte."""
    token = _may.set(may)
    try:
        yield
    finally:
        _may.reset(token)


def check_may_send() -> None:
    """Check that a paid request may be sent now.

    Raises:
        ProviderUnavailable: it may not. The engine retries if this process still holds the call.
    """
    may = _may.get()
    if may is not None and not may():
        raise ProviderUnavailable("Too much time has passed since the call was prepared. Nothing was sent.")
