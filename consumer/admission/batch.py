"""Admission of a batch: parse, write, commit. The one way into the ledger, for every door."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from consumer.admission.message import AdmitResult, IncomingMessage
from consumer.admission.notification import S3Notification, classify
from consumer.admission.policy import AdmissionPolicy
from consumer.callbacks.bodies import dead_letter_delivery
from consumer.failpoints import failpoint
from consumer.ledger import uploads
from consumer.ledger.admission import AdmissionOutcome, Submission, admit, submission
from consumer.ledger.completion import request_cancel
from consumer.ledger.database import Database, is_ledger_fault
from consumer.ledger.dead_letters import reject
from consumer.ledger.due import Wake
from consumer.ledger.outbox import NewDelivery, enqueue
from consumer.logs import logger
from schemas.envelope import CallbackSpec, Cancellation
from schemas.errors import InternalError, JobNotFound, TelecineError
from schemas.parse import parse_mapping, read_mapping, recover_fields
from schemas.s3_events import read_event

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """A message that is refused, with what its producer can be told."""

    error: TelecineError
    request_id: str | None = None
    callback: CallbackSpec | None = None
    metadata: Mapping[str, Any] | None = None
    type: str | None = None
    #: As the message names it: whatever it is.
    tenant: object = None
    #: Of a request that was made of an upload: the tenant of its rule, and the object.
    rule_tenant: str | None = None
    uploaded: str | None = None


#: What becomes of a message.
ParsedMessage = Submission | Cancellation | FailedMessage | S3Notification


class BatchAdmitter:
    """Admits batches into one ledger. Safe to share between doors.

    An S3 event costs a door no more than a request does: its uploads are kept in the ledger, and
    ``new_uploads`` tells the loop that makes requests of them.
    """

    def __init__(self, database: Database, checks: AdmissionPolicy) -> None:
        self._database = database
        self._checks = checks
        self.new_uploads = threading.Event()

    def __call__(self, arrivals: Sequence[IncomingMessage]) -> Sequence[AdmitResult]:
        """Admits the batch in one commit.

        Should the database choke on one message, each is tried alone, so that a poisonous one is
        refused by itself. A database that cannot be reached or written raises: nothing is acknowledged then.
        """
        failpoint("door.received")
        parsed = [self.parse(arrival) for arrival in arrivals]
        try:
            answers = self._write(arrivals, parsed)
        except Exception as error:
            if is_ledger_fault(error):
                raise
            log.exception("batch_failed", messages=len(arrivals))
            answers = [self._write_alone(arrival, item) for arrival, item in zip(arrivals, parsed, strict=True)]
        failpoint("door.committed")
        if any(isinstance(item, S3Notification) for item in parsed):
            self.new_uploads.set()
        return answers

    def parse(self, arrival: IncomingMessage) -> ParsedMessage:
        """What becomes of the message, as far as it can be known without the ledger. Never raises."""
        mapping: Mapping[str, Any] = {}
        try:
            limit = self._checks.max_message_bytes
            mapping = read_mapping(arrival.body, arrival.headers, limit_bytes=limit)
            records = read_event(mapping, limit_bytes=limit)
            if records is not None:
                return classify(records, self._checks.triggers, arrival)
            return self.validate(mapping, arrival)
        except TelecineError as error:
            return failed_message(mapping, error)
        except Exception as error:  # whatever a message does, the door lives on
            log.exception("parse_failed", door=arrival.door)
            return failed_message(mapping, InternalError(f"the request could not be read: {type(error).__name__}"))

    def validate(
        self,
        mapping: Mapping[str, Any],
        arrival: IncomingMessage,
        *,
        rule_tenant: str | None = None,
        uploaded: str | None = None,
    ) -> Submission | Cancellation:
        """The request in the mapping, ready to be admitted.

        Raises:
            RequestError: it is none, or this installation cannot or may not do what it asks for.
        """
        request = parse_mapping(mapping)
        if isinstance(request, Cancellation):
            return self._checks.cancellation(request, arrival.source)
        placed = self._checks(request, arrival.source, rule_tenant=rule_tenant, uploaded=uploaded)
        return submission(
            placed.request,
            role=placed.role,
            door=arrival.door,
            priority=placed.priority,
            output=placed.output,
            callback=placed.callback,
        )

    def admit_one(
        self, arrival: IncomingMessage, item: ParsedMessage, first: Callable[[Connection], None]
    ) -> AdmitResult:
        """Writes one item by itself. ``first`` is called in the same transaction; what it raises undoes it."""
        agreed = False

        def begin(connection: Connection) -> None:
            nonlocal agreed
            first(connection)
            agreed = True

        try:
            return self._write([arrival], [item], begin)[0]
        except Exception as error:
            if not agreed or is_ledger_fault(error):
                raise
            log.exception("admission_failed", door=arrival.door)
            refused = FailedMessage(InternalError(f"the request could not be admitted: {type(error).__name__}"))
            return self._write([arrival], [refused], first)[0]

    def _write(
        self,
        arrivals: Sequence[IncomingMessage],
        parsed: Sequence[ParsedMessage],
        first: Callable[[Connection], None] = lambda connection: None,
    ) -> list[AdmitResult]:
        answers: dict[int, AdmitResult] = {}
        with self._database.write(durable=True) as connection:
            first(connection)
            fresh = [(index, item) for index, item in enumerate(parsed) if isinstance(item, Submission)]
            for (index, item), admission in zip(
                fresh, admit(self._database, connection, [s for _, s in fresh]), strict=True
            ):
                if admission.outcome is AdmissionOutcome.ADMITTED:
                    answers[index] = AdmitResult(wake=Wake(admission.job_id, admission.role, admission.priority))
                elif admission.conflict is not None:
                    # No callback: it would speak of the other request's job by its id.
                    answers[index] = self._refuse(
                        connection, arrivals[index], FailedMessage(admission.conflict, item.request.id)
                    )
                else:
                    answers[index] = AdmitResult()
            for index, other in enumerate(parsed):
                if isinstance(other, FailedMessage):
                    answers[index] = self._refuse(connection, arrivals[index], other)
                elif isinstance(other, S3Notification):
                    answers[index] = self._keep(connection, arrivals[index], other)
            failpoint("door.before_commit")
        for index, control in enumerate(parsed):
            if isinstance(control, Cancellation):
                answers[index] = self._cancel(arrivals[index], control)
        return [answers[index] for index in range(len(arrivals))]

    def _write_alone(self, arrival: IncomingMessage, item: ParsedMessage) -> AdmitResult:
        try:
            return self._write([arrival], [item])[0]
        except Exception as error:
            if is_ledger_fault(error):
                raise
            log.exception("admission_failed", door=arrival.door)
            refused = FailedMessage(InternalError(f"the request could not be admitted: {type(error).__name__}"))
            return self._write([arrival], [refused])[0]

    def _keep(self, connection: Connection, arrival: IncomingMessage, notice: S3Notification) -> AdmitResult:
        """Keeps the uploads; refuses the bad records one by one. The message is refused if nothing else is in it."""
        # A hundred records would be a hundred copies of the headers, and a record by itself needs none.
        headers = arrival.headers if notice.records == 1 else {}
        for body in notice.kept:
            uploads.keep(connection, door=arrival.door, source=arrival.source, body=body, headers=headers)
        refused = [
            self._refuse(connection, dataclasses.replace(arrival, body=body, headers=headers), FailedMessage(error))
            for body, error in notice.refused
        ]
        return refused[0] if refused and len(refused) == notice.records else AdmitResult()

    def _refuse(self, connection: Connection, arrival: IncomingMessage, refused: FailedMessage) -> AdmitResult:
        seq = reject(
            connection, door=arrival.door, source=arrival.source, request_id=refused.request_id,
            error=refused.error, body=arrival.body, headers=arrival.headers,
        )  # fmt: skip
        if (
            refused.callback is not None
            and self._checks.may_notify(
                refused.callback,
                refused.tenant,
                arrival.source,
                rule_tenant=refused.rule_tenant,
                uploaded=refused.uploaded,
            )
            and "failed" in refused.callback.events
        ):
            told = self._told(seq, refused)
            if told is not None:
                enqueue(self._database, connection, told)
        log.warning(
            "rejected", door=arrival.door, code=refused.error.code, dead_letter=seq, request_id=refused.request_id
        )
        return AdmitResult(error=refused.error)

    def _told(self, seq: int, refused: FailedMessage) -> NewDelivery | None:
        assert refused.callback is not None
        return dead_letter_delivery(
            seq=seq, request_id=refused.request_id, type=refused.type, status="failed", error=refused.error,
            callback=self._checks.game.addressed(refused.callback), metadata=refused.metadata, at=self._checks.clock(),
        )  # fmt: skip

    def _cancel(self, arrival: IncomingMessage, control: Cancellation) -> AdmitResult:
        try:
            request_cancel(self._database, control.id, by=arrival.door, tenant=control.tenant)
        except JobNotFound as error:
            with self._database.write(durable=True) as connection:
                return self._refuse(connection, arrival, FailedMessage(error, control.id))
        return AdmitResult()


def failed_message(mapping: Mapping[str, Any], error: TelecineError) -> FailedMessage:
    """The refusal of the request in the mapping, with whatever is sound in it."""
    request_id, callback, metadata = recover_fields(mapping)
    kind = mapping.get("type")
    named = kind if isinstance(kind, str) else None
    return FailedMessage(error, request_id, callback, metadata, named, mapping.get("tenant"))
