"""Admission of a batch in one commit: the only way into the ledger, for every door."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

from consumer.admission.dead_letters import DeadLetterWriter, FailedMessage
from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.admission.notification import S3Notification
from consumer.admission.parsing import ParsedMessage, parse_message
from consumer.admission.policy import AdmissionPolicy
from consumer.admission.spans import admission_spans
from consumer.failpoints import failpoint
from consumer.ledger import uploads
from consumer.ledger.admission import AdmissionOutcome, Submission, absorb, admit
from consumer.ledger.completion import request_cancel
from consumer.ledger.database import Database, is_ledger_fault
from consumer.ledger.due import Wake
from consumer.logs import logger
from schemas.envelope import Cancellation
from schemas.errors import InternalError, JobNotFound

log = logger(__name__)


class BatchAdmitter:
    """Admits batches into one ledger. Thread-safe: all doors share one.

    An S3 event costs a door no more than a request: its uploads are only stored in the ledger. ``new_uploads`` wakes
    the loop that makes requests from them.
    """

    def __init__(self, database: Database, policy: AdmissionPolicy) -> None:
        self.policy = policy
        self.new_uploads = threading.Event()
        self._database = database
        self._dead_letters = DeadLetterWriter(database, policy)

    def __call__(self, messages: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        """Admit the batch in one commit and return one result per message.

        If a message makes the transaction fail, each message is admitted alone, so that only the bad one becomes a
        dead letter.

        Raises:
            Exception: The database is unreachable or read-only. Nothing may be acknowledged then.
        """
        failpoint("door.received")
        parsed = [parse_message(message, self.policy) for message in messages]
        with admission_spans(messages, parsed) as parsed:
            try:
                results = self._write(messages, parsed)
            except Exception as error:
                if is_ledger_fault(error):
                    raise
                log.exception("batch_failed", messages=len(messages))
                results = [self.admit_one(message, item) for message, item in zip(messages, parsed, strict=True)]
        failpoint("door.committed")
        if any(isinstance(item, S3Notification) for item in parsed):
            self.new_uploads.set()
        return results

    def admit_one(
        self, message: IncomingMessage, item: ParsedMessage, first: Callable[[Connection], None] | None = None
    ) -> AdmitResult:
        """Write one message in a transaction of its own. One that cannot be written becomes a dead letter.

        ``first`` is called at the beginning of that transaction; if it raises, nothing is written.
        """
        begun = first is None

        def begin(connection: Connection) -> None:
            nonlocal begun
            if first is not None:
                first(connection)
            begun = True

        try:
            return self._write([message], [item], begin)[0]
        except Exception as error:
            if not begun or is_ledger_fault(error):
                raise
            log.exception("admission_failed", door=message.door)
            failed = FailedMessage(InternalError(f"the request could not be admitted: {type(error).__name__}"))
            return self._write([message], [failed], first)[0]

    def _write(
        self,
        messages: Sequence[IncomingMessage],
        parsed: Sequence[ParsedMessage],
        first: Callable[[Connection], None] | None = None,
    ) -> list[AdmitResult]:
        results: dict[int, AdmitResult] = {}
        with self._database.write(durable=True) as connection:
            if first is not None:
                first(connection)
            results |= self._admit(connection, messages, parsed)
            for index, item in enumerate(parsed):
                if isinstance(item, FailedMessage):
                    if item.identity is not None and absorb(connection, item.identity, messages[index].door):
                        results[index] = AdmitResult()
                        continue
                    results[index] = self._dead_letters.write(connection, messages[index], item)
                elif isinstance(item, S3Notification):
                    results[index] = self._store_uploads(connection, messages[index], item)
            failpoint("door.before_commit")
        for index, item in enumerate(parsed):
            if isinstance(item, Cancellation):
                results[index] = self._cancel(messages[index], item)
        return [results[index] for index in range(len(messages))]

    def _admit(
        self, connection: Connection, messages: Sequence[IncomingMessage], parsed: Sequence[ParsedMessage]
    ) -> dict[int, AdmitResult]:
        """Insert the requests among the messages as jobs; return their results by index."""
        submissions = {index: item for index, item in enumerate(parsed) if isinstance(item, Submission)}
        admissions = admit(self._database, connection, list(submissions.values()))
        results: dict[int, AdmitResult] = {}
        for (index, item), admission in zip(submissions.items(), admissions, strict=True):
            if admission.outcome is AdmissionOutcome.ADMITTED:
                wake = Wake(admission.job_id, admission.role, admission.priority, item.request.type)
                results[index] = AdmitResult(wake=wake)
            elif admission.conflict is not None:
                # Without a callback: its id would be that of the other request's job.
                failed = FailedMessage(admission.conflict, item.request.id)
                results[index] = self._dead_letters.write(connection, messages[index], failed)
            else:
                results[index] = AdmitResult()
        return results

    def _store_uploads(
        self, connection: Connection, message: IncomingMessage, notification: S3Notification
    ) -> AdmitResult:
        """Store the uploads, and each invalid record as a dead letter.

        The result is an error only if every record is invalid.
        """
        # A hundred records would store a hundred copies of the headers, and a single record does not need them.
        headers = message.headers if notification.records == 1 else {}
        for body in notification.uploads:
            uploads.enqueue(connection, door=message.door, source=message.source, body=body, headers=headers)
        failed = [
            self._dead_letters.write(
                connection, dataclasses.replace(message, body=body, headers=headers), FailedMessage(error)
            )
            for body, error in notification.invalid
        ]
        return failed[0] if failed and len(failed) == notification.records else AdmitResult()

    def _cancel(self, message: IncomingMessage, cancellation: Cancellation) -> AdmitResult:
        try:
            request_cancel(self._database, cancellation.id, by=message.door, tenant=cancellation.tenant)
        except JobNotFound as error:
            with self._database.write(durable=True) as connection:
                return self._dead_letters.write(connection, message, FailedMessage(error, cancellation.id))
        return AdmitResult()
