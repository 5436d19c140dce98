"""Queue names: wake-ups by role and priority, and dead-letter queues."""

from __future__ import annotations

from schemas.envelope import PRIORITIES

ROLES = ("io", "render", "gpu")

ADVANCE = "telecine.advance"
EXCHANGE = "telecine"
DEAD_EXCHANGE = "telecine.dead"


def wake_queue(role: str, priority: str) -> str:
    """Return the name of the queue that wakes workers of ``role`` for jobs of ``priority``."""
    return f"telecine.{role}.{priority}"


def role_and_priority(queue: str) -> tuple[str, str] | None:
    """Return what ``wake_queue`` made the name of; ``None`` for any other name."""
    names = {wake_queue(role, priority): (role, priority) for role in ROLES for priority in PRIORITIES}
    return names.get(queue)


def wake_queues(roles: tuple[str, ...] = ROLES) -> list[str]:
    """Return all wake-up queues of the roles, high priority first."""
    return [wake_queue(role, priority) for priority in PRIORITIES for role in roles]


def dead_queue(queue: str) -> str:
    """Return the name of the dead-letter queue of ``queue``."""
    return f"{queue}.dead"
