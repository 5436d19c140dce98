"""The loops of one machine (doors, sweep, calls, outbox) as threads that start and stop together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from celery import Celery

from consumer.admission.batch import BatchAdmitter
from consumer.callbacks.outbox_loop import OutboxLoop
from consumer.calls.engine import CallEngine
from consumer.doors.amqp import AmqpDoor
from consumer.doors.door import Door
from consumer.doors.inbox import InboxDoor
from consumer.doors.sqs.client import SqsClient, sqs_options
from consumer.doors.sqs.door import SqsDoor
from consumer.execution.flushing import ManifestFlusher
from consumer.execution.sweep import Sweep
from consumer.logs import logger
from consumer.retention.loop import RetentionLoop
from consumer.runtime import Runtime
from consumer.uploads.loop import UploadLoop
from consumer.wakeups.send import WakeUps
from consumer.wiring import admission_policy, request_factory

log = logger(__name__)


class Loop(Protocol):
    """Something that runs until it is stopped."""

    def run(self) -> None:
        """Run until ``stop`` is called."""
        ...

    def stop(self) -> None:
        """Make ``run`` return. Call it from another thread."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """A loop and its name in logs."""

    name: str
    loop: Loop


class Service:
    """Runs each loop in a thread of its own. When one ends by itself, ``failed`` is set and the process should exit."""

    def __init__(self, loops: Sequence[Named]) -> None:
        self.loops = loops
        self.failed = threading.Event()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, args=(item,), name=item.name, daemon=True) for item in loops
        ]

    def start(self) -> None:
        """Start every loop."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, grace_seconds: float = 30.0) -> None:
        """Stop every loop and wait for all of them, at most ``grace_seconds`` in total."""
        self._stopping = True
        for item in self.loops:
            item.loop.stop()
        deadline = time.monotonic() + grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def wait(self, name: str, seconds: float) -> None:
        """Wait for one loop after ``stop``, at most ``seconds``. Return at once if it has ended or does not exist."""
        for thread in self._threads:
            if thread.name == name:
                thread.join(max(0.0, seconds))

    def _run(self, item: Named) -> None:
        try:
            item.loop.run()
        except BaseException:
            log.exception("loop_failed", loop=item.name)
        if not self._stopping:
            self.failed.set()


def build_doors(runtime: Runtime, wake: WakeUps) -> list[Named]:
    """Build the doors that the settings ask for.

    AMQP with a RabbitMQ URL, SQS with queue names, the inbox in embedded mode or with a folder of its own; always
    the loop that turns uploads into requests.
    """
    settings = runtime.settings
    admitter = BatchAdmitter(runtime.database, admission_policy(runtime))
    doors: list[Named] = []
    if settings.amqp_url is not None:
        amqp: Door = AmqpDoor(
            settings.amqp_url,
            settings.amqp_queues,
            admitter,
            wake,
            batch=settings.door_batch_messages,
            batch_seconds=settings.door_batch_seconds,
            delivery_limit=settings.amqp_delivery_limit,
        )
        doors.append(Named("door-amqp", amqp))
    if settings.sqs_queues:
        sqs: Door = SqsDoor(
            SqsClient(sqs_options(settings)),
            settings.sqs_queues,
            admitter,
            wake,
            batch=settings.door_batch_messages,
            batch_seconds=settings.door_batch_seconds,
        )
        doors.append(Named("door-sqs", sqs))
    if settings.embedded or settings.inbox is not None:
        inbox: Door = InboxDoor(
            settings.inbox_folder,
            admitter,
            wake,
            batch=settings.door_batch_messages,
            poll_seconds=settings.inbox_poll_seconds,
            limit_bytes=settings.max_message_bytes,
        )
        doors.append(Named("door-inbox", inbox))
    uploads = UploadLoop(
        runtime.database, admitter, request_factory(runtime), wake, poll_seconds=min(1.0, settings.sweep_seconds)
    )
    doors.append(Named("uploads", uploads))
    return doors


def build_loops(runtime: Runtime, app: Celery, parts: Sequence[str]) -> list[Named]:
    """Build the loops of ``parts``; the worker is not one of them."""
    wake = WakeUps(app)
    loops: list[Named] = []
    if "doors" in parts:
        loops += build_doors(runtime, wake)
    if "sweep" in parts:
        loops += [Named("sweep", Sweep(runtime, wake)), Named("retention", RetentionLoop(runtime))]
        if (files := runtime.storage.small_files) is not None:
            loops.append(Named("manifests", ManifestFlusher(runtime, files)))
    if "calls" in parts:
        loops.append(Named("calls", CallEngine(runtime, wake)))
    if "outbox" in parts:
        loops.append(Named("outbox", OutboxLoop(runtime)))
    return loops
