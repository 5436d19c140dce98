"""The Celery worker as a process of its own: ``telecine worker``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from celery.worker.consumer import Consumer

from consumer.queues import wake_queues


class LeanConsumer(Consumer):
    """Celery's consumer without native delayed delivery, which would declare 28 queues that nobody uses."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]
        """The same steps but one."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if "DelayedDelivery" not in str(step)
        ]


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
