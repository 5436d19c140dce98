"""The names of the queues: wake-ups by role and priority, and the dead letters of a door's queue."""

from __future__ import annotations

ROLES = ("io", "render", "gpu")
PRIORITIES = ("high", "normal", "low")

ADVANCE = "telecine.advance"
EXCHANGE = "telecine"
DEAD_EXCHANGE = "telecine.dead"


def wake_queue(role: str, priority: str) -> str:
    """The queue that wakes workers of ``role``; one for each priority."""
    return f"telecine.{role}.{priority}"


def wake_queues(roles: tuple[str, ...] = ROLES) -> list[str]:
    """All wake-up queues of the roles, high priority first."""
    return [wake_queue(role, priority) for priority in PRIORITIES for role in roles]


def dead_queue(queue: str) -> str:
    """Where the broker keeps what a door refused from ``queue``."""
    return f"{queue}.dead"
