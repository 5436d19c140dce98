"""Which content of an object is meant: a name alone does not say it once the object is replaced."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Pin:
    """One object as it was when somebody looked at it. The version counts; the ETag does where there is none."""

    version: str | None = None
    etag: str | None = None

    @property
    def named(self) -> str:
        """For messages: ``version …`` or ``ETag …``."""
        return f"version {self.version}" if self.version is not None else f"ETag {self.etag}"

    def as_record(self) -> dict[str, Any]:
        """The pin as JSON; ``Pin(**record)`` is it again."""
        return asdict(self)
