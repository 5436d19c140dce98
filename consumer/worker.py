"""The Celery worker as a process of its own: ``telecine worker``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from celery.worker.consumer import Consumer

from consumer.logs import logger
from consumer.wakeups.queues import ADVANCE, wake_queues

log = logger(__name__)

#: What Celery raises for a message that is not as it expects.
_MESSAGE_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: The headers of Celery's protocol that a wake-up needs. Odd times, limits and stamps end the worker, and a far time
#: holds the place of another wake-up: time belongs to the ledger.
_HEADERS = ("lang", "task", "id", "root_id", "parent_id", "origin", "argsrepr", "kwargsrepr")


class LeanConsumer(Consumer):
    """Celery's consumer, which no message ends, and without native delayed delivery.

    Delayed delivery would declare 28 queues that nobody uses.
    """

    connection_errors: tuple[type[BaseException], ...]

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]
        """The same steps but one."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if "DelayedDelivery" not in str(step)
        ]

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Celery's own, for wake-ups only: what else may be in a message can end the worker, and then the next one."""
        handle = super().create_task_handler(*args, **options)

        def handle_wake_up(message: Any) -> None:
            try:
                message.headers = _plain(message.headers)
                handle(message)
            except _MESSAGE_FAULTS as error:
                queue = (message.delivery_info or {}).get("routing_key")
                log.warning("wake_up_unreadable", queue=queue, reason=repr(error))
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)

        return handle_wake_up


def _plain(headers: Any) -> dict[str, str]:
    """A wake-up's headers, without all that it does not need.

    Raises:
        ValueError: they are not those of a wake-up.
    """
    if not isinstance(headers, dict) or headers.get("task") != ADVANCE or not isinstance(headers.get("id"), str):
        raise ValueError("not a wake-up")
    return {name: headers[name] for name in _HEADERS if isinstance(headers.get(name), str)}


def worker_arguments(roles: Sequence[str], *, concurrency: int, name: str | None = None) -> list[str]:
    """The arguments for ``celery worker`` that serve these roles.

    A GPU worker takes one job at a time in the process that holds the models: CUDA does not survive a fork. It does so
    in a thread beside the loop that talks to the broker. In Celery's solo pool a job blocks that loop: the wake-up
    is not acknowledged before the job ends, and RabbitMQ hangs up after three minutes without a heartbeat.
    """
    pool, jobs = ("threads", 1) if "gpu" in roles else ("prefork", concurrency)
    # Two nodes of one name cannot run: the second finds the queue of the first locked.
    node = name or f"{'-'.join(roles)}-{os.getpid()}"
    return [
        "worker",
        f"--pool={pool}",
        f"--concurrency={jobs}",
        f"--queues={','.join(wake_queues(tuple(roles)))}",
        "--without-gossip",
        "--without-mingle",
        f"--hostname={node}@%h",
    ]


def run_worker(roles: Sequence[str], *, concurrency: int, name: str | None = None) -> None:
    """Runs the worker until it is told to stop. Does not return before.

    Raises:
        SystemExit: it ended itself, because its device no longer answers; whoever watches over it starts it anew.
    """
    from celery.worker import state

    from consumer.app import app, start_process

    if "gpu" in roles:
        start_process()  # Celery says it of new processes only
    arguments = worker_arguments(roles, concurrency=concurrency, name=name)
    if str(app.conf.broker_url).startswith("sqs:"):
        arguments.append("--without-heartbeat")  # of events: they need fanout, which SQS has not
    app.worker_main(arguments)
    if state.should_stop:  # Celery's own command drops the status
        raise SystemExit(1)
