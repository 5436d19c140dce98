"""Replaying dead letters from the dashboard."""

from __future__ import annotations

from consumer.ledger.due import Waker
from consumer.wiring import admission_policy, request_factory
from ops.dashboard.view import Dashboard
from ops.dead_letter_replay import DeadLetterReplay


def dead_letter_replay(dashboard: Dashboard, *, by: str) -> DeadLetterReplay:
    """Return what replays dead letters in the name of ``by``."""
    runtime = dashboard.runtime
    return DeadLetterReplay(
        runtime.database,
        admission_policy(runtime),
        None if runtime.settings.embedded else _wake_ups(),
        request_factory=request_factory(runtime),
        by=by,
    )


def _wake_ups() -> Waker:
    """Return wake-ups through the broker. In embedded mode the sweep of the running ``telecine up`` finds the jobs."""
    from consumer.app import app
    from consumer.wakeups.send import WakeUps

    return WakeUps(app)
