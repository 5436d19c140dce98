"""The SQS door: plain JSON from queues of Amazon's, admitted in batches, deleted after the commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from consumer.admission.message import Admit, AdmitResult
from consumer.doors.sqs.client import SqsClient, code_of
from consumer.doors.sqs.in_flight import InFlightMessages, batches_of_ten
from consumer.doors.sqs.messages import SqsMessage, dead_letter_attributes, name_of, to_incoming_message
from consumer.doors.sqs.receiver import PARALLEL, SqsReceiver, delete, give_back
from consumer.failpoints import failpoint
from consumer.ledger.database import is_ledger_fault
from consumer.ledger.due import Waker
from consumer.logs import logger
from schemas.errors import TelecineError

log = logger(__name__)

#: How long ``run`` takes to give back what is held. A poll that is still open then gives back what it gets.
_LEAVING_SECONDS = 1.5
_LONGEST_BACKOFF_SECONDS = 300


class SqsDoor:
    """Reads queues until it is stopped, the more urgent first; reconnects for ever.

    While the ledger cannot be reached it keeps hidden what it has and receives no more, so that no message
    uses up its receipts. A crash anywhere before the deletion brings the messages back: duplicates then.
    """

    def __init__(
        self,
        calls: SqsClient,
        queues: Sequence[str],
        admit: Admit,
        wake: Waker,
        *,
        batch: int,
        batch_seconds: float,
    ) -> None:
        self._calls = calls
        self._admit = admit
        self._wake = wake
        self._batch = batch
        self._batch_seconds = batch_seconds
        self._stopped = threading.Event()
        self._held = InFlightMessages([name_of(queue) for queue in queues], room=batch * 2)
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="sqs")
        self._receivers = [SqsReceiver(queue, calls, self._held, self._pool, self._stopped) for queue in queues]

    @property
    def connected(self) -> bool:
        """Whether every queue can be read."""
        return all(receiver.connected for receiver in self._receivers)

    def run(self) -> None:
        """Takes messages until ``stop``."""
        # Daemons: a long poll cannot be cut short, and must not keep the process.
        for act in [*(receiver.run for receiver in self._receivers), self._keep_hidden]:
            threading.Thread(target=act, name="sqs-receiver", daemon=True).start()
        while not self._stopped.is_set():
            messages = self._held.take(self._batch, wait_seconds=0.5, gather_seconds=self._batch_seconds)
            if not messages:
                continue
            try:
                self._take(messages)
            except Exception:
                # No message does this. Each comes again, later and later; SQS counts, and moves it away in the end.
                log.exception("batch_not_taken", messages=len(messages))
                for message in self._held.release(messages):
                    give_back(self._calls, [message], seconds=min(2**message.receive_count, _LONGEST_BACKOFF_SECONDS))
        self._leave()

    def stop(self) -> None:
        """Makes ``run`` return soon; what is not deleted goes back to its queue."""
        self._stopped.set()

    def _take(self, messages: Sequence[SqsMessage]) -> None:
        answers = self._admit_patiently(messages)
        if answers is None:
            return
        refused = [(m, answer.error) for m, answer in zip(messages, answers, strict=True) if answer.error]
        list(self._pool.map(self._copy, refused))
        # With the newest receipts, should one have come twice meanwhile.
        list(self._pool.map(partial(delete, self._calls, self._held), batches_of_ten(self._held.release(messages))))
        failpoint("door.acknowledged")
        self._wake([answer.wake for answer in answers if answer.wake is not None])

    def _admit_patiently(self, messages: Sequence[SqsMessage]) -> Sequence[AdmitResult] | None:
        """The answers. Waits while the ledger cannot be reached, and has the queues left alone."""
        arrivals = [to_incoming_message(message) for message in messages]
        wait = 0.2
        try:
            while not self._stopped.is_set():
                try:
                    return self._admit(arrivals)
                except Exception as error:
                    if not is_ledger_fault(error):
                        raise
                    log.warning("ledger_unreachable", messages=len(arrivals), reason=type(error).__name__)
                    self._held.pause(True)
                    self._stopped.wait(wait)
                    wait = min(wait * 2, 5.0)
            return None
        finally:
            self._held.pause(False)

    def _copy(self, refused: tuple[SqsMessage, TelecineError]) -> None:
        """A copy for the dead-letter queue, where there is one. The ledger has the message in any case."""
        message, error = refused
        try:
            queue = self._calls.dead_letter_queue(message.queue)
            if queue is not None:
                self._calls.copy(message, queue, dead_letter_attributes(message, error))
        except Exception as fault:
            log.warning("dead_letter_not_copied", queue=message.queue.name, reason=code_of(fault))

    def _keep_hidden(self) -> None:
        """Hides what is held anew before it becomes visible."""
        seconds = self._calls.options.visibility_seconds
        while not self._stopped.wait(seconds / 12):
            for tens in batches_of_ten(self._held.needing_extension(seconds / 4)):
                try:
                    lost = self._calls.hide(tens[0].queue, tens, seconds)
                except Exception as error:
                    log.warning("sqs_not_hidden", queue=tens[0].queue.name, reason=code_of(error))
                else:
                    if lost:
                        # Visible to others by now, who will find the duplicate in the ledger.
                        log.warning("sqs_receipt_lost", queue=tens[0].queue.name, messages=len(lost))

    def _leave(self) -> None:
        held = self._held.close()
        leaving = threading.Thread(target=give_back, args=(self._calls, held), name="sqs-leaving", daemon=True)
        leaving.start()
        leaving.join(_LEAVING_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)
