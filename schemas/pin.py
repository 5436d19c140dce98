"""The version of an object that a job is about: an object can be replaced under the same name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Pin:
    """The content of an object at one time: its version, or its ETag in a bucket without versions."""

    version: str | None = None
    etag: str | None = None

    @property
    def label(self) -> str:
        """Text for messages: ``version …`` or ``ETag …``."""
        return f"version {self.version}" if self.version is not None else f"ETag {self.etag}"

    def as_record(self) -> dict[str, Any]:
        """Return the pin as JSON. ``Pin(**record)`` is the inverse."""
        return asdict(self)
