"""Writes requests into the inbox."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

SUFFIX = ".json"
PART = ".part"


def drop(inbox: Path, body: bytes) -> Path:
    """Write a request into the inbox atomically: to a temporary file, synced, then renamed.

    Raises:
        OSError: The request cannot be written, for example because the disk is full. Nothing is left behind.
    """
    inbox.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    part = inbox / f".{name}{PART}"
    target = inbox / f"{name}{SUFFIX}"
    try:
        with part.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return target
