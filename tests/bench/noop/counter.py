"""Counting finished messages over several processes: one byte each, appended to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TELECINE_BENCH_COUNTER"


def counter() -> Callable[[], None]:
    """Return what a worker calls for each message; it costs one ``write``."""
    handle = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def count() -> None:
        os.write(handle, b".")

    return count


def rate_of(path: Path, messages: int, *, alive: Callable[[], bool], timeout_seconds: float) -> float:
    """Return messages per second between the first tenth and the last message.

    Raises:
        RuntimeError: the workers died or did not get there in time.
    """
    first = messages // 10
    began: tuple[float, int] | None = None
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        counted, now = path.stat().st_size if path.exists() else 0, time.monotonic()
        if began is None and counted >= first:
            began = now, counted
        if began is not None and counted >= messages:
            return (counted - began[1]) / (now - began[0])
        if not alive():
            raise RuntimeError(f"the workers died after {counted} of {messages} messages")
        time.sleep(0.002)
    raise RuntimeError(f"{counted} of {messages} messages after {timeout_seconds:g} seconds")
