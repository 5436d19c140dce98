"""The loop that goes through the uploads: many at a time, and again and again while the object store is away."""

from __future__ import annotations

import queue
import threading
import time

from sqlalchemy.engine import Connection

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.admission.notification import S3Notification
from consumer.failpoints import failpoint
from consumer.ledger.database import Database, is_ledger_fault
from consumer.ledger.due import Wake, Waker
from consumer.ledger.uploads import Waiting, done, hold, put_back, take
from consumer.logs import logger
from consumer.uploads.decide import dead_letter_after_retries, decide
from consumer.uploads.request_factory import RequestFactory
from schemas.errors import TelecineError
from schemas.s3_events import Dropped

log = logger(__name__)

#: Objects that are asked about at once.
THREADS = 8
#: Should this process die, another one takes its uploads after so long.
HOLD_SECONDS = 15.0
#: While the object store is away: at first so long, doubling up to the longest, until a person has to look.
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 600.0
GIVE_UP_SECONDS = 86_400.0

_NOTHING = S3Notification(0, (), ())


class TakenElsewhere(Exception):
    """Another process has settled the upload meanwhile."""


class UploadLoop:
    """Makes requests of uploads until it is stopped. Any number may run; each upload is settled once.

    A crash leaves an upload in the ledger; another process takes it a quarter of a minute later.
    """

    def __init__(
        self,
        database: Database,
        admitter: BatchAdmitter,
        request_factory: RequestFactory,
        wake: Waker,
        *,
        poll_seconds: float,
    ) -> None:
        self._database = database
        self._admitter = admitter
        self._request_factory = request_factory
        self._wake = wake
        self._poll_seconds = poll_seconds
        self._stopped = threading.Event()
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._busy: dict[int, Waiting] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Settles uploads until ``stop``; whatever fails is logged and tried again."""
        for number in range(THREADS):
            # Daemons: one that waits for a silent object store does not hold up the end of the process.
            threading.Thread(target=self._work, name=f"upload-{number}", daemon=True).start()
        held = time.monotonic()
        while not self._stopped.is_set():
            self._admitter.new_uploads.clear()
            try:
                taken = self._fill()
                if self._busy and time.monotonic() - held > HOLD_SECONDS / 3:
                    hold(self._database, list(self._busy), seconds=HOLD_SECONDS)
                    held = time.monotonic()
            except Exception:
                log.warning("uploads_cannot_be_read", exc_info=True)
                self._stopped.wait(1)
                continue
            if not taken:
                self._admitter.new_uploads.wait(self._poll_seconds)
        for _ in range(THREADS):
            self._waiting.put(None)

    def stop(self) -> None:
        """Makes ``run`` return soon. What is being asked for stays in the ledger."""
        self._stopped.set()
        self._admitter.new_uploads.set()

    def process(self, waiting: Waiting) -> Wake | None:
        """Makes the upload a job or a dead letter, forgets it, or puts it back for later."""
        arrival = IncomingMessage(waiting.body, waiting.door, waiting.source, waiting.headers)
        try:
            item = decide(self._admitter, self._request_factory, arrival)
        except TelecineError as error:
            if waiting.age_seconds < GIVE_UP_SECONDS:
                wait = min(FIRST_WAIT_SECONDS * 2 ** min(waiting.tries - 1, 20), LONGEST_WAIT_SECONDS)
                log.warning("upload_later", code=error.code, reason=error.message, retry_in=wait)
                put_back(self._database, waiting, seconds=wait, reason=f"{error.code}: {error.message}")
                return None
            item = dead_letter_after_retries(self._request_factory, arrival, error)

        def first(connection: Connection) -> None:
            if not done(connection, waiting):
                raise TakenElsewhere

        failpoint("upload.decided")
        answer = self._admitter.admit_one(arrival, _NOTHING if isinstance(item, Dropped) else item, first)
        failpoint("upload.settled")
        return answer.wake

    def _fill(self) -> bool:
        """Takes what is due; whether there was anything."""
        free = 2 * THREADS - len(self._busy)
        taken = take(self._database, limit=free, seconds=HOLD_SECONDS, but=list(self._busy)) if free > 0 else []
        for waiting in taken:
            with self._lock:
                self._busy[waiting.seq] = waiting
            self._waiting.put(waiting)
        return bool(taken)

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            try:
                if (wake := self.process(waiting)) is not None:
                    self._wake([wake])
            except TakenElsewhere:
                log.info("upload_taken_elsewhere", upload=waiting.seq)
            except Exception as error:
                # It is still in the ledger, and due again when it is no longer held.
                log.warning("upload_not_settled", ledger=is_ledger_fault(error), exc_info=True)
            finally:
                with self._lock:
                    self._busy.pop(waiting.seq, None)
                self._admitter.new_uploads.set()
