"""Until when a paid request may begin to go out.

Whoever has written down that a call is being sent is believed for a while only: then others may look it up at the
vendor and, where it is not there, send it. A process that slept all that time must not send it after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from schemas.errors import ProviderUnavailable

_may: ContextVar[Callable[[], bool] | None] = ContextVar("telecine_may_send", default=None)


@contextmanager
def sending_while(may: Callable[[], bool]) -> Iterator[None]:
    """Within it a paid request begins only if ``may`` says so, asked just before its first byte."""
    token = _may.set(may)
    try:
        yield
    finally:
        _may.reset(token)


def check_may_send() -> None:
    """Nothing, if a paid request may begin now.

    Raises:
        ProviderUnavailable: it may not; tried again where the call is still this process's to send.
    """
    may = _may.get()
    if may is not None and not may():
        raise ProviderUnavailable("Too much time has passed since the call was prepared. Nothing was sent.")
