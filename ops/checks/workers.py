"""Check of the workers: one listens for each role that has waiting jobs."""

from __future__ import annotations

from consumer.doors.inbox import waiting_requests
from consumer.ledger.database import Database
from consumer.ledger.queries import count_jobs_by_role
from consumer.ledger.schema import ledger_version
from consumer.wakeups.queues import ROLES, wake_queue
from ops.checks.finding import Finding, ok, warn
from ops.checks.paths import missing_ledger
from ops.formatting import count
from ops.health_client import ask_health
from schemas.settings import Settings


def workers(settings: Settings) -> Finding:
    """Count the workers of each role, as reported by RabbitMQ, and warn of jobs that wait for a role without one.

    In embedded mode they are in `telecine up`, which is asked at its health port.
    """
    if settings.embedded:
        return _embedded(settings)
    if settings.amqp_url is None:
        return ok("SQS does not report which workers listen")
    from ops.checks.broker import consumers

    listening = consumers(settings.amqp_url, {role: wake_queue(role, "normal") for role in ROLES})
    waiting = _waiting(settings)
    counts = ", ".join(f"{role} {listening[role] or 'none'}" for role in ROLES)
    unserved = [role for role in ROLES if waiting.get(role) and not listening[role]]
    if unserved:
        jobs = "; ".join(f"{count(waiting[role], 'job')} for role {role}" for role in unserved)
        return warn(f"{counts}; waiting without a worker: {jobs}", f"run `telecine worker --role {','.join(unserved)}`")
    return ok(counts)


def _embedded(settings: Settings) -> Finding:
    answer = ask_health(settings)
    if answer is not None and answer.same_ledger:
        return ok("in the running `telecine up`")
    if not settings.health_port:
        return ok("in the process of `telecine up`, which cannot be asked: TELECINE_HEALTH_PORT is 0")
    requests = len(waiting_requests(settings.inbox_folder))
    waiting = [count(requests, "request") + " in the inbox"] if requests else []
    if jobs := sum(_waiting(settings).values()):
        waiting.append(count(jobs, "job"))
    if waiting:
        return warn(f"none; waiting without one: {', '.join(waiting)}", "run `telecine up` with these settings")
    return ok("none; `telecine up` runs them")


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
