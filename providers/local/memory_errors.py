"""Out of memory: the refusal in advance, detection of the error, and freeing what a failed call held."""

from __future__ import annotations

import errno

from providers.weights import GB
from schemas.errors import InsufficientVram, TelecineError

#: Parts of torch's messages, in lower case. Those of its CPU allocator never contain "out of memory".
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "bad_alloc")


def insufficient_memory(name: str, need: int, free: int, kind: str = "cuda") -> InsufficientVram:
    """Return the refusal with its numbers."""
    what = "RAM" if kind == "cpu" else "VRAM"
    return InsufficientVram(
        f"Insufficient {what}: {name} needs ~{need / GB:.1f}GB, but only {max(0, free) / GB:.1f}GB available."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error means that the device or this machine ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if "OutOfMemoryError" in {base.__name__ for base in type(error).__mro__}:
        return not isinstance(error, TelecineError)
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def drop_tracebacks(error: BaseException) -> None:
    """Clear the tracebacks in the exception chain so that their frames stop holding GPU tensors."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting += [one.__context__, one.__cause__]
