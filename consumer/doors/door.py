"""The interface of a door."""

from __future__ import annotations

from typing import Protocol


class Door(Protocol):
    """A source of requests. Runs in a thread of its own."""

    def run(self) -> None:
        """Read messages until ``stop`` is called. Survives bad messages and an unreachable broker."""
        ...

    def stop(self) -> None:
        """Make ``run`` return soon. Called from another thread."""
        ...
