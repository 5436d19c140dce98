"""Tenants take turns: one that floods a queue does not make another wait.

See docs/decisions/0020-tenants-take-turns.md.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence

#: From so many lines, what is claimed together is the first of each; from fewer, each gives several.
MANY_LINES = 8


class Turns:
    """Which line is served next, of those of one queue. There is a line for each tenant, in the order of their names.

    Every process takes turns by itself, so that none waits for another. Each is fair, and so all together are.
    """

    def __init__(self) -> None:
        self._served: dict[tuple[str, str], str] = {}

    def last(self, queue: tuple[str, str]) -> str:
        """Return the line that was served last; at first a random name, so that short lives prefer no tenant."""
        return self._served.setdefault(queue, secrets.token_urlsafe(6))

    def served(self, queue: tuple[str, str], line: str) -> None:
        """Go on after this line."""
        self._served[queue] = line


def in_turn(lines: Iterable[Sequence[str]], count: int) -> list[str]:
    """Return the first ``count`` of the lines if each gives one, then each its second, and so on."""
    rounds = itertools.zip_longest(*lines)
    return list(itertools.islice((each for one in rounds for each in one if each is not None), count))
