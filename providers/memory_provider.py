"""An in-memory provider for tests and experiments.

It charges once for every submission that it accepts, even if the caller never sees the response.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from providers.base import Call, Failed, Pending, Ready, TaskRef

#: Hook around a submission; it may raise, before or after the charge.
Script = Callable[[Call], None]


@dataclass
class MemoryProvider:
    """One account at a provider that exists only in this process."""

    can_find: bool = True
    #: Number of polls that return ``Pending`` before one returns the result.
    polls: int = 1
    #: The result of a task.
    result: Callable[[Call], Ready | Failed] = lambda call: Ready(value=f"made by {call.model.id}")
    before: Script = lambda call: None
    after: Script = lambda call: None
    #: Accepted submissions, by key.
    charges: Counter[str] = field(default_factory=Counter)
    cancelled: list[str] = field(default_factory=list)
    _tasks: dict[str, str] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def submit(self, call: Call) -> TaskRef | Ready:
        """Accept the call and charge for it."""
        self.before(call)
        task = f"task-{next(self._ids)}"
        self._tasks[task] = call.key
        self.charges[call.key] += 1
        self.after(call)
        return TaskRef(task)

    async def poll(self, call: Call, task: TaskRef) -> Pending | Ready | Failed:
        """Return ``Pending`` for the first ``polls`` calls, then the result."""
        self._seen[task.id] += 1
        if self._seen[task.id] <= self.polls:
            return Pending(self._seen[task.id] / (self.polls + 1), "at work")
        return self.result(call)

    async def cancel(self, call: Call, task: TaskRef) -> bool:
        """Record the cancellation, which always succeeds."""
        self.cancelled.append(task.id)
        return True

    async def find(self, call: Call) -> TaskRef | None:
        """Return the task with the call's key."""
        return next((TaskRef(task) for task, key in self._tasks.items() if key == call.key), None)

    async def aclose(self) -> None:
        """Do nothing."""
