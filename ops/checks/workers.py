"""Check of the workers: one listens for each role that has waiting jobs."""

from __future__ import annotations

from consumer.ledger.database import Database
from consumer.ledger.queries import count_jobs_by_role
from consumer.ledger.schema import ledger_version
from consumer.wakeups.queues import ROLES, wake_queue
from ops.checks.broker import consumers
from ops.checks.finding import Finding, ok, warn
from ops.checks.paths import missing_ledger
from ops.formatting import count
from schemas.settings import Settings


def workers(settings: Settings) -> Finding:
    """Count the workers of each role, as reported by RabbitMQ, and warn of jobs that wait for a role without one."""
    if settings.embedded:
        return ok("in the process of `telecine up`")
    if settings.amqp_url is None:
        return ok("SQS does not report which workers listen")
    listening = consumers(settings.amqp_url, {role: wake_queue(role, "normal") for role in ROLES})
    waiting = _waiting(settings)
    counts = ", ".join(f"{role} {listening[role] or 'none'}" for role in ROLES)
    unserved = [role for role in ROLES if waiting.get(role) and not listening[role]]
    if unserved:
        jobs = "; ".join(f"{count(waiting[role], 'job')} for role {role}" for role in unserved)
        return warn(f"{counts}; waiting without a worker: {jobs}", f"run `telecine worker --role {','.join(unserved)}`")
    return ok(counts)


def _waiting(settings: Settings) -> dict[str, int]:
    """Return the number of due jobs by role, for roles in which no job runs; empty if there is no ledger yet."""
    if missing_ledger(settings) is not None:
        return {}
    database = Database(settings.ledger)
    try:
        if ledger_version(database) is None:
            return {}
        # A busy worker may have lost its connection to the broker; a held lease shows that there is one.
        return {role: due for role, (due, held) in count_jobs_by_role(database).items() if not held}
    finally:
        database.close()
