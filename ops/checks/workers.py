"""The workers: whether one listens for each kind of job that waits."""

from __future__ import annotations

from consumer.ledger.database import Database
from consumer.ledger.queries import count_jobs_by_role, ledger_version
from consumer.ledger.schema import HEAD
from consumer.wakeups.queues import ROLES, wake_queue
from ops.checks.broker import consumers
from ops.checks.finding import Finding, ok, warn
from ops.cli.opening import missing_ledger
from ops.wording import count
from schemas.settings import Settings


def workers(settings: Settings) -> Finding:
    """How many workers listen for each role, as RabbitMQ counts them, and whether jobs wait where none does."""
    if settings.embedded:
        return ok("in the process of `telecine up`")
    if settings.amqp_url is None:
        return ok("SQS does not tell who listens")
    listening = consumers(settings.amqp_url, {role: wake_queue(role, "normal") for role in ROLES})
    waiting = _waiting(settings)
    told = ", ".join(f"{role} {listening[role] or 'none'}" for role in ROLES)
    alone = [role for role in ROLES if waiting.get(role) and not listening[role]]
    if alone:
        jobs = "; ".join(f"{count(waiting[role], 'job')} for role {role}" for role in alone)
        return warn(f"{told}; waiting where none listens: {jobs}", f"run `telecine worker --role {','.join(alone)}`")
    return ok(told)


def _waiting(settings: Settings) -> dict[str, int]:
    """Due jobs that nobody works on, by role; none where the ledger is not there yet."""
    if missing_ledger(settings) is not None:
        return {}
    database = Database(settings.ledger)
    try:
        if ledger_version(database) != HEAD:
            return {}
        # A worker that is busy may have lost its connection: while a job is held there is one.
        return {role: due for role, (due, held) in count_jobs_by_role(database).items() if not held}
    finally:
        database.close()
