"""The Celery worker: as a process of its own (``telecine worker``), or as a loop inside the embedded mode's process."""

from __future__ import annotations

import os
from collections.abc import Sequence

from celery import Celery

from consumer.wakeups.queues import wake_queues
from pipelines.registry import import_all


def worker_arguments(roles: Sequence[str], *, concurrency: int, name: str | None = None) -> list[str]:
    """Return the arguments of ``celery worker`` that serve these roles.

    A GPU worker runs one job at a time, in the process that holds the models: CUDA does not survive a fork. The job
    runs in a thread next to the loop that talks to the broker. In Celery's solo pool a job would block that loop: the
    wake-up would not be acknowledged before the job ends, and RabbitMQ closes the connection after three minutes
    without a heartbeat.
    """
    pool, jobs = ("threads", 1) if "gpu" in roles else ("prefork", concurrency)
    # Node names must be unique: nodes of the same name share one queue for remote control.
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
    """Run the worker until it is stopped.

    Raises:
        SystemExit: The worker stopped itself because its device no longer responds. The supervisor restarts it.
    """
    from celery.worker import state

    from consumer.app import app, start_process

    import_all()
    if "gpu" in roles:
        start_process()  # Celery sends worker_process_init for forked processes only
    arguments = worker_arguments(roles, concurrency=concurrency, name=name)
    if str(app.conf.broker_url).startswith("sqs:"):
        arguments.append("--without-heartbeat")  # event heartbeats need fanout, which SQS does not have
    app.worker_main(arguments)
    if state.should_stop:  # Celery's command drops the exit status
        raise SystemExit(1)


class EmbeddedWorker:
    """A Celery worker as a loop inside another process, on kombu's in-memory transport.

    Its pool is threads: heavy work runs in child processes anyway.
    """

    def __init__(self, app: Celery, *, concurrency: int) -> None:
        import_all()
        self._worker = app.WorkController(
            pool="threads",
            concurrency=concurrency,
            queues=wake_queues(),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            hostname="embedded@localhost",
            loglevel="WARNING",
        )

    def run(self) -> None:
        """Run jobs until ``stop``."""
        self._worker.start()

    def stop(self) -> None:
        """Accept no more jobs. Running jobs continue until they are done or the process ends."""
        from celery.worker import state

        state.should_stop = 0  # type: ignore[assignment]
