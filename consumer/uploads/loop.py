"""The loop that turns stored uploads into jobs. Works on several at once; retries while the object store fails."""

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
from consumer.ledger.uploads import ClaimedUpload, claim_due, extend, reschedule, settle
from consumer.logs import logger
from consumer.uploads.decide import dead_letter_after_retries, decide
from consumer.uploads.request_factory import RequestFactory
from schemas.backoff import backoff
from schemas.errors import TelecineError
from schemas.s3_events import Dropped

log = logger(__name__)

#: Uploads in progress at once.
THREADS = 8
#: Visibility timeout: if this process dies, another one claims its uploads after this long.
VISIBILITY_SECONDS = 15.0
#: Retry delays while the object store fails: they double up to the longest, until the upload becomes a dead letter.
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 600.0
RETRY_LIMIT_SECONDS = 86_400.0
RETRY_LIMIT_TRIES = 20

_IGNORED = S3Notification(0, (), ())


class ClaimedElsewhere(Exception):
    """Another process has claimed the upload in the meantime."""


class UploadLoop:
    """Turns uploads into jobs until it is stopped. Any number of loops may run; each upload is processed once.

    A crash leaves an upload in the ledger; another process claims it ``VISIBILITY_SECONDS`` later.
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
        self._queue: queue.SimpleQueue[ClaimedUpload | None] = queue.SimpleQueue()
        self._busy: dict[int, ClaimedUpload] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Process uploads until ``stop``. Failures are logged and retried."""
        for number in range(THREADS):
            # Daemons: a thread that waits for an unresponsive object store must not delay the exit of the process.
            threading.Thread(target=self._work, name=f"upload-{number}", daemon=True).start()
        held = time.monotonic()
        while not self._stopped.is_set():
            self._admitter.new_uploads.clear()
            try:
                taken = self._fill()
                if self._busy and time.monotonic() - held > VISIBILITY_SECONDS / 3:
                    extend(self._database, list(self._busy), seconds=VISIBILITY_SECONDS)
                    held = time.monotonic()
            except Exception:
                log.warning("reading_uploads_failed", exc_info=True)
                self._stopped.wait(1)
                continue
            if not taken:
                self._admitter.new_uploads.wait(self._poll_seconds)
        for _ in range(THREADS):
            self._queue.put(None)

    def stop(self) -> None:
        """Make ``run`` return soon. Uploads in progress stay in the ledger."""
        self._stopped.set()
        self._admitter.new_uploads.set()

    def process(self, waiting: ClaimedUpload) -> Wake | None:
        """Process one upload: it becomes a job or a dead letter, is deleted, or is put back with a delay."""
        message = IncomingMessage(waiting.body, waiting.door, waiting.source, waiting.headers)
        try:
            item = decide(self._admitter.policy, self._request_factory, message)
        except TelecineError as error:
            # The age alone is not enough: the ledger's clock may have been set forward.
            if error.outage or waiting.age_seconds < RETRY_LIMIT_SECONDS or waiting.tries < RETRY_LIMIT_TRIES:
                wait = backoff(waiting.tries - 1, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
                log.warning("upload_retry_scheduled", code=error.code, reason=error.message, retry_in=wait)
                reschedule(self._database, waiting, seconds=wait, reason=f"{error.code}: {error.message}")
                return None
            item = dead_letter_after_retries(self._request_factory, message, error)

        def delete_upload(connection: Connection) -> None:
            if not settle(connection, waiting):
                raise ClaimedElsewhere

        failpoint("upload.decided")
        result = self._admitter.admit_one(message, _IGNORED if isinstance(item, Dropped) else item, delete_upload)
        failpoint("upload.settled")
        return result.wake

    def _fill(self) -> bool:
        """Claim due uploads for the threads; return whether there were any."""
        free = 2 * THREADS - len(self._busy)
        taken = (
            claim_due(self._database, limit=free, seconds=VISIBILITY_SECONDS, but=list(self._busy)) if free > 0 else []
        )
        for waiting in taken:
            with self._lock:
                self._busy[waiting.seq] = waiting
            self._queue.put(waiting)
        return bool(taken)

    def _work(self) -> None:
        while (waiting := self._queue.get()) is not None:
            try:
                if (wake := self.process(waiting)) is not None:
                    self._wake([wake])
            except ClaimedElsewhere:
                log.info("upload_lease_lost", upload=waiting.seq)
            except Exception as error:
                # It is still in the ledger, and becomes due when its visibility timeout ends.
                log.warning("upload_not_recorded", ledger=is_ledger_fault(error), exc_info=True)
            finally:
                with self._lock:
                    self._busy.pop(waiting.seq, None)
                self._admitter.new_uploads.set()
