"""Limits that a process sets on itself before it opens media from outside."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return a ``preexec_fn`` that makes the kernel kill the new process when ``parent`` ends (Linux only)."""

    def set_death_signal() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            # The parent ended before prctl was called, so the kernel would not send the signal.
            os.kill(os.getpid(), signal.SIGKILL)

    return set_death_signal


def bound_self(*, memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """Limit this process and its children: address space, CPU time and size of one file. Disable core files."""
    for name, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # At the hard limit of CPU time the kernel sends SIGKILL, which would look like too little memory.
        spare = 1 if name == resource.RLIMIT_CPU and value != hard else 0
        resource.setrlimit(name, (value, value + spare))


@contextmanager
def limit_cpu_time(seconds: float, error: Exception) -> Iterator[None]:
    """Raise ``error`` once the body has used this much CPU time. In the main thread only.

    It is raised between two Python instructions, so a library that never returns is ended by the child's other limits.
    """

    def stop(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
