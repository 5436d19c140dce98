"""Receiving from one SQS queue, as fast as its messages are admitted."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Executor
from typing import Any

from consumer.doors.sqs.client import BATCH, SqsClient, error_code
from consumer.doors.sqs.in_flight import InFlightMessages, batches_of_ten
from consumer.doors.sqs.messages import SqsMessage, SqsQueue, queue_name
from consumer.logs import logger
from consumer.storage.s3_credentials import rejection, rejections
from schemas.backoff import backoff

log = logger(__name__)

#: Concurrent requests while a queue is full: one at a time is slow over the network.
PARALLEL = 8
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 15.0
_SHORT_SECONDS = 0.5


class SqsReceiver:
    """Receives messages from one queue until it is stopped. Survives any error of SQS."""

    def __init__(
        self, queue: str, client: SqsClient, in_flight: InFlightMessages, pool: Executor, stopped: threading.Event
    ) -> None:
        self._name_or_url = queue
        self._client = client
        self._in_flight = in_flight
        self._pool = pool
        self._stopped = stopped
        self._failures = 0
        self.connected = False

    def run(self) -> None:
        """Receive until ``stopped`` is set, with exponential backoff up to 15 seconds after errors."""
        while not self._stopped.is_set():
            try:
                queue = self._client.find_queue(self._name_or_url)
                self.connected = True
                log.info("sqs_connected", queue=queue.name)
                while self._in_flight.wait_for_room(queue.name) and not self._stopped.is_set():
                    self._receive(queue)
                    self._failures = 0
            except Exception as error:
                self.connected = False
                if not self._stopped.is_set():
                    log.warning("sqs_disconnected", queue=queue_name(self._name_or_url), reason=error_code(error))
                if (reason := rejection(error)) is not None:
                    rejections.add(reason)
                # The credentials may be the reason, and may have been rotated.
                self._client.reset()
            self._stopped.wait(backoff(self._failures, _FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS))
            self._failures += 1

    def _receive(self, queue: SqsQueue) -> None:
        """Receive with one long poll; while batches are full, with several concurrent short polls."""
        started = time.monotonic()
        got = self._add(queue, self._client.receive(queue, wait_seconds=self._client.options.wait_seconds))
        if got == 0 and time.monotonic() - started < _SHORT_SECONDS:
            self._stopped.wait(_SHORT_SECONDS)  # this server does not support long polling
        while got == BATCH and not self._stopped.is_set():
            polls = min(PARALLEL, self._in_flight.wait_for_room(queue.name) // BATCH)
            received = list(self._pool.map(self._poll, [queue] * polls))
            got = max((self._add(queue, messages) for messages in received), default=0)

    def _poll(self, queue: SqsQueue) -> list[SqsMessage]:
        try:
            return self._client.receive(queue, wait_seconds=0)
        except Exception as error:
            # The messages of the other polls must still be added.
            log.warning("sqs_receive_failed", queue=queue.name, reason=error_code(error))
            return []

    def _add(self, queue: SqsQueue, messages: list[SqsMessage]) -> int:
        settled = self._in_flight.add(messages)
        if settled is None:
            make_visible(self._client, messages)
            return 0
        for batch in batches_of_ten(settled):
            delete(self._client, self._in_flight, batch)
        return len(messages)


def delete(client: SqsClient, in_flight: InFlightMessages, messages: list[SqsMessage]) -> None:
    """Delete up to ten settled messages of one queue. Those that fail are remembered as settled."""
    try:
        failed = client.delete(messages[0].queue, messages)
    except Exception as error:
        log.warning("sqs_delete_failed", queue=messages[0].queue.name, reason=error_code(error))
        failed = messages
    in_flight.remember_undeleted(failed)


def make_visible(client: SqsClient, messages: Any, *, seconds: int = 0) -> None:
    """Make messages visible again after ``seconds``. If that fails, their visibility timeout does it."""
    for batch in batches_of_ten(messages):
        try:
            client.set_visibility(batch[0].queue, batch, seconds)
        except Exception as error:
            log.warning("sqs_release_failed", queue=batch[0].queue.name, messages=len(batch), reason=error_code(error))
