"""Things that are large, made when they are needed and kept while they are used."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")

#: Number of things to keep: two threads draw at different times of a reel, and each mixes two images at most.
_KEPT = 4


class Recent(Generic[Thing]):
    """Makes things by their index and keeps the last few of them. Safe to use from several threads."""

    def __init__(self, make: Callable[[int], Thing]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Thing] = OrderedDict()

    def get(self, index: int) -> Thing:
        """Return the thing with this index. Other threads wait while it is made."""
        with self._lock:
            if index not in self._kept:
                self._kept[index] = self._make(index)
            self._kept.move_to_end(index)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[index]
