"""Too little memory: the refusal beforehand, how running out of it shows, and how a failed call's share comes back."""

from __future__ import annotations

import errno

from providers.weights import GB
from schemas.errors import InsufficientVram, TelecineError

#: What torch and its libraries say, in small letters. The processor's allocator never says "out of memory".
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "bad_alloc")


def insufficient(name: str, need: int, free: int, kind: str = "cuda") -> InsufficientVram:
    """The refusal with its numbers."""
    what = "RAM" if kind == "cpu" else "VRAM"
    return InsufficientVram(
        f"Insufficient {what}: {name} needs ~{need / GB:.1f}GB, but only {max(0, free) / GB:.1f}GB available."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or this machine, ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if "OutOfMemoryError" in {base.__name__ for base in type(error).__mro__}:
        return not isinstance(error, TelecineError)
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def let_go(error: BaseException) -> None:
    """Parts ``error``, and those it followed from, from their frames: what the failed call held hangs on these."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting += [one.__context__, one.__cause__]
