"""Receiving from one SQS queue, as fast as the door admits."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Executor
from typing import Any

from consumer.doors.sqs.client import BATCH, SqsClient, code_of
from consumer.doors.sqs.in_flight import InFlightMessages, batches_of_ten
from consumer.doors.sqs.messages import SqsMessage, SqsQueue, name_of
from consumer.logs import logger

log = logger(__name__)

#: Calls side by side while a queue is full. On the way to AWS one alone is slow.
PARALLEL = 8
_LONGEST_WAIT_SECONDS = 15.0
_SHORT_SECONDS = 0.5


class SqsReceiver:
    """Keeps ``held`` filled from one queue until it is stopped. Survives whatever SQS does."""

    def __init__(
        self, queue: str, calls: SqsClient, held: InFlightMessages, pool: Executor, stopped: threading.Event
    ) -> None:
        self._named = queue
        self._calls = calls
        self._held = held
        self._pool = pool
        self._stopped = stopped
        self._wait = 0.5
        self.connected = False

    def run(self) -> None:
        """Receives until ``stopped`` is set; after each fault it waits longer, 15 seconds at most."""
        while not self._stopped.is_set():
            try:
                queue = self._calls.locate(self._named)
                self.connected = True
                log.info("sqs_connected", queue=queue.name)
                while self._held.wait_for_room(queue.name):
                    self._receive(queue)
                    self._wait = 0.5
            except Exception as error:
                self.connected = False
                if not self._stopped.is_set():
                    log.warning("sqs_lost", queue=name_of(self._named), reason=code_of(error))
                # The keys may be the reason, and may have been renewed.
                self._calls.forget_credentials()
            self._stopped.wait(self._wait)
            self._wait = min(self._wait * 2, _LONGEST_WAIT_SECONDS)

    def _receive(self, queue: SqsQueue) -> None:
        """One long poll; while the queue is full, several short ones at a time."""
        started = time.monotonic()
        got = self._take_in(queue, self._calls.receive(queue, wait_seconds=self._calls.options.wait_seconds))
        if got == 0 and time.monotonic() - started < _SHORT_SECONDS:
            self._stopped.wait(_SHORT_SECONDS)  # what answers at once that there is nothing is no long poll
        while got == BATCH and not self._stopped.is_set():
            calls = min(PARALLEL, self._held.wait_for_room(queue.name) // BATCH)
            answers = list(self._pool.map(self._poll, [queue] * calls))
            got = max((self._take_in(queue, messages) for messages in answers), default=0)

    def _poll(self, queue: SqsQueue) -> list[SqsMessage]:
        try:
            return self._calls.receive(queue, wait_seconds=0)
        except Exception as error:
            # What the others received must not be forgotten for it.
            log.warning("sqs_receive_failed", queue=queue.name, reason=code_of(error))
            return []

    def _take_in(self, queue: SqsQueue, messages: list[SqsMessage]) -> int:
        if self._stopped.is_set():
            give_back(self._calls, messages)
            return 0
        settled = self._held.put(messages)
        for tens in batches_of_ten(settled):
            delete(self._calls, self._held, tens)
        return len(messages)


def delete(calls: SqsClient, held: InFlightMessages, messages: list[SqsMessage]) -> None:
    """Deletes up to ten settled messages of one queue. Those that cannot be are remembered as settled."""
    try:
        failed = calls.delete(messages[0].queue, messages)
    except Exception as error:
        log.warning("sqs_not_deleted", queue=messages[0].queue.name, reason=code_of(error))
        failed = messages
    held.remember(failed)


def give_back(calls: SqsClient, messages: Any, *, seconds: int = 0) -> None:
    """Makes messages visible again. One that cannot be is so by itself after its visibility timeout."""
    for tens in batches_of_ten(messages):
        try:
            calls.hide(tens[0].queue, tens, seconds)
        except Exception as error:
            log.warning("sqs_not_given_back", queue=tens[0].queue.name, messages=len(tens), reason=code_of(error))
