"""A process of the pool that gets several stop signals has time to release its job after the first one.

A service manager may signal every process of a worker. After SIGQUIT, Celery's main process then sends SIGTERM to its
pool as well, and billiard ends a process at once that gets a second signal.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from billiard import common

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: What billiard has set for them in a process of its pool.
_of_billiard = common._shutdown_cleanup  # type: ignore[attr-defined]


@contextlib.contextmanager
def exit_once() -> Iterator[None]:
    """Raise ``SystemExit`` in the body for the first stop signal, and ignore the others. Outside of a pool: nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [number for number in _STOP_SIGNALS if signal.getsignal(number) is _of_billiard]
    for number in caught:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in caught:
            if signal.getsignal(number) is _exit:
                signal.signal(number, _of_billiard)


def _exit(number: int, frame: FrameType | None) -> None:
    try:
        _of_billiard(number, frame)
    finally:
        for other in _STOP_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
