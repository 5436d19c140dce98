"""The SQS door: plain JSON from Amazon SQS, admitted in batches, deleted after the commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from consumer.admission.message import Admit, AdmitResult
from consumer.doors.sqs.client import SqsClient, error_code
from consumer.doors.sqs.in_flight import InFlightMessages, batches_of_ten
from consumer.doors.sqs.messages import SqsMessage, dead_letter_attributes, queue_name, to_incoming_message
from consumer.doors.sqs.receiver import PARALLEL, SqsReceiver, delete, make_visible
from consumer.failpoints import failpoint
from consumer.ledger.database import is_ledger_fault
from consumer.ledger.due import Waker
from consumer.logs import logger
from schemas.backoff import backoff
from schemas.errors import TelecineError

log = logger(__name__)

#: Time limit for releasing the in-flight messages at the end of ``run``. A poll that ends later releases its own.
_RELEASE_SECONDS = 1.5
_LONGEST_BACKOFF_SECONDS = 300


class SqsDoor:
    """Reads queues until it is stopped, in their order of priority. Reconnects after errors.

    While the ledger is unavailable, it keeps its messages in flight and receives no more, so that no message uses up
    its receive count. After a crash before the deletion, SQS delivers the messages again, as duplicates.
    """

    def __init__(
        self,
        client: SqsClient,
        queues: Sequence[str],
        admit: Admit,
        wake: Waker,
        *,
        batch: int,
        batch_seconds: float,
    ) -> None:
        self._client = client
        self._admit = admit
        self._wake = wake
        self._batch = batch
        self._batch_seconds = batch_seconds
        self._stopped = threading.Event()
        self._in_flight = InFlightMessages([queue_name(queue) for queue in queues], room=batch * 2)
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="sqs")
        self._receivers = [SqsReceiver(queue, client, self._in_flight, self._pool, self._stopped) for queue in queues]

    @property
    def connected(self) -> bool:
        """Whether every queue can be read."""
        return all(receiver.connected for receiver in self._receivers)

    def run(self) -> None:
        """Read messages until ``stop``."""
        # Daemons: a long poll cannot be interrupted, and must not delay the exit of the process.
        for target in [*(receiver.run for receiver in self._receivers), self._extend_visibility]:
            threading.Thread(target=target, name="sqs-receiver", daemon=True).start()
        while not self._stopped.is_set():
            messages = self._in_flight.take(self._batch, wait_seconds=0.5, gather_seconds=self._batch_seconds)
            if not messages:
                continue
            try:
                self._take(messages)
            except Exception:
                # Unexpected: release with exponential backoff. SQS's redrive policy dead-letters them eventually.
                log.exception("batch_not_admitted", messages=len(messages))
                for message in self._in_flight.release(messages):
                    make_visible(
                        self._client,
                        [message],
                        seconds=int(backoff(message.receive_count, 1, _LONGEST_BACKOFF_SECONDS)),
                    )
        self._release_all()

    def stop(self) -> None:
        """Make ``run`` return soon. Messages that are not deleted become visible again."""
        self._stopped.set()

    def _take(self, messages: Sequence[SqsMessage]) -> None:
        results = self._admit_when_ledger_is_up(messages)
        if results is None:
            return
        failed = [(m, result.error) for m, result in zip(messages, results, strict=True) if result.error]
        list(self._pool.map(self._copy_to_dead_letters, failed))
        # ``release`` returns the newest receipt handles, in case a message was delivered twice in the meantime.
        batches = batches_of_ten(self._in_flight.release(messages))
        list(self._pool.map(partial(delete, self._client, self._in_flight), batches))
        failpoint("door.acknowledged")
        self._wake([result.wake for result in results if result.wake is not None])

    def _admit_when_ledger_is_up(self, messages: Sequence[SqsMessage]) -> Sequence[AdmitResult] | None:
        """Admit the messages; while the ledger is unavailable, pause receiving and retry. ``None`` after ``stop``."""
        incoming = [to_incoming_message(message) for message in messages]
        wait = 0.2
        try:
            while not self._stopped.is_set():
                try:
                    return self._admit(incoming)
                except Exception as error:
                    if not is_ledger_fault(error):
                        raise
                    log.warning("ledger_unavailable", messages=len(incoming), reason=type(error).__name__)
                    self._in_flight.pause(True)
                    self._stopped.wait(wait)
                    wait = min(wait * 2, 5.0)
            return None
        finally:
            self._in_flight.pause(False)

    def _copy_to_dead_letters(self, failed: tuple[SqsMessage, TelecineError]) -> None:
        """Copy a message to its dead-letter queue, if there is one. The ledger has the message in any case."""
        message, error = failed
        try:
            queue = self._client.dead_letter_queue(message.queue)
            if queue is not None:
                self._client.copy(message, queue, dead_letter_attributes(message, error))
        except Exception as fault:
            log.warning("dead_letter_copy_failed", queue=message.queue.name, reason=error_code(fault))

    def _extend_visibility(self) -> None:
        """Extend the visibility timeout of in-flight messages before it ends."""
        seconds = self._client.options.visibility_seconds
        while not self._stopped.wait(seconds / 12):
            for batch in batches_of_ten(self._in_flight.needing_extension(seconds / 4)):
                try:
                    lost = self._client.set_visibility(batch[0].queue, batch, seconds)
                except Exception as error:
                    log.warning("sqs_visibility_not_extended", queue=batch[0].queue.name, reason=error_code(error))
                else:
                    if lost:
                        # Visible to others now; their copy will be a duplicate in the ledger.
                        log.warning("sqs_receipt_expired", queue=batch[0].queue.name, messages=len(lost))

    def _release_all(self) -> None:
        remaining = self._in_flight.close()
        releasing = threading.Thread(
            target=make_visible, args=(self._client, remaining), name="sqs-release", daemon=True
        )
        releasing.start()
        releasing.join(_RELEASE_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)
