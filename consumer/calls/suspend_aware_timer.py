"""How much time has passed, that in which the machine slept or the process was stopped included."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

Clock = Callable[[], float]


def boot_time() -> float:
    """Seconds since the machine started, asleep or awake; Python's ``monotonic`` stands still in a sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


#: The wall clock as well: where a virtual machine was held, it alone is put right afterwards.
CLOCKS: tuple[Clock, ...] = (boot_time, time.time)


class SuspendAwareTimer:
    """Runs from its making. Of several clocks the one counts that has run furthest."""

    def __init__(self, clocks: Sequence[Clock] = CLOCKS) -> None:
        self._began = [(clock, clock()) for clock in clocks]

    def seconds(self) -> float:
        """What has passed."""
        return max(clock() - began for clock, began in self._began)
