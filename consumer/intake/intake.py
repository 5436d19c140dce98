"""Admission of a batch: parse, write, commit. The one way into the ledger, for every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from consumer.callbacks.bodies import rejection_delivery
from consumer.failpoints import failpoint
from consumer.intake.arrivals import Answer, Arrival
from consumer.intake.checks import Checks
from consumer.ledger.admission import Submission, Verdict, admit, submission
from consumer.ledger.database import Database, is_ledger_fault
from consumer.ledger.due import Wake
from consumer.ledger.endings import request_cancel
from consumer.ledger.outbox import enqueue
from consumer.ledger.rejections import reject
from consumer.logs import logger
from schemas.callback import Status
from schemas.envelope import CallbackSpec, Cancel
from schemas.errors import IdConflict, InternalError, JobNotFound, TelecineError
from schemas.parse import parse_mapping, read_mapping, salvage

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A message that is refused, with what its producer can be told."""

    error: TelecineError
    request_id: str | None = None
    callback: CallbackSpec | None = None
    metadata: Mapping[str, Any] | None = None
    type: str | None = None


class Intake:
    """Admits batches into one ledger. Safe to share between doors."""

    def __init__(self, database: Database, checks: Checks) -> None:
        self._database = database
        self._checks = checks

    def __call__(self, arrivals: Sequence[Arrival]) -> Sequence[Answer]:
        """Admits the batch in one commit.

        Should the database choke on one message, each is tried alone, so that a poisonous one is
        refused by itself. A database that cannot be reached or written raises: nothing is acknowledged then.
        """
        failpoint("door.received")
        parsed = [self._parse(arrival) for arrival in arrivals]
        try:
            answers = self._write(arrivals, parsed)
        except Exception as error:
            if is_ledger_fault(error):
                raise
            log.exception("batch_failed", messages=len(arrivals))
            answers = [self._write_alone(arrival, item) for arrival, item in zip(arrivals, parsed, strict=True)]
        failpoint("door.committed")
        return answers

    def _parse(self, arrival: Arrival) -> Submission | Cancel | _Refusal:
        mapping: Mapping[str, Any] = {}
        try:
            mapping = read_mapping(arrival.body, arrival.headers, limit_bytes=self._checks.max_message_bytes)
            request = parse_mapping(mapping)
            if isinstance(request, Cancel):
                return request
            role = self._checks(request)
            return submission(request, role=role, door=arrival.door)
        except TelecineError as error:
            return _refusal(mapping, error)
        except Exception as error:  # whatever a message does, the door lives on
            log.exception("parse_failed", door=arrival.door)
            return _refusal(mapping, InternalError(f"the request could not be read: {type(error).__name__}"))

    def _write(self, arrivals: Sequence[Arrival], parsed: Sequence[Submission | Cancel | _Refusal]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        with self._database.write(durable=True) as connection:
            fresh = [(index, item) for index, item in enumerate(parsed) if isinstance(item, Submission)]
            for (index, item), admission in zip(
                fresh, admit(self._database, connection, [s for _, s in fresh]), strict=True
            ):
                if admission.verdict is Verdict.ADMITTED:
                    answers[index] = Answer(wake=Wake(admission.job_id, admission.role, admission.priority))
                elif admission.conflict is not None:
                    # No callback: it would speak of the other request's job by its id.
                    answers[index] = self._refuse(
                        connection, arrivals[index], _Refusal(admission.conflict, item.request.id)
                    )
                else:
                    answers[index] = Answer()
            for index, refused in enumerate(parsed):
                if isinstance(refused, _Refusal):
                    answers[index] = self._refuse(connection, arrivals[index], refused)
            failpoint("door.before_commit")
        for index, control in enumerate(parsed):
            if isinstance(control, Cancel):
                answers[index] = self._cancel(arrivals[index], control)
        return [answers[index] for index in range(len(arrivals))]

    def _write_alone(self, arrival: Arrival, item: Submission | Cancel | _Refusal) -> Answer:
        try:
            return self._write([arrival], [item])[0]
        except Exception as error:
            if is_ledger_fault(error):
                raise
            log.exception("admission_failed", door=arrival.door)
            refused = _Refusal(InternalError(f"the request could not be admitted: {type(error).__name__}"))
            return self._write([arrival], [refused])[0]

    def _refuse(self, connection: Connection, arrival: Arrival, refused: _Refusal) -> Answer:
        seq = reject(
            connection, door=arrival.door, source=arrival.source, request_id=refused.request_id,
            error=refused.error, body=arrival.body, headers=arrival.headers,
        )  # fmt: skip
        if (
            refused.callback is not None
            and self._checks.may_call(refused.callback)
            and "failed" in refused.callback.events
        ):
            enqueue(self._database, connection, self._told(seq, refused))
        log.warning(
            "rejected", door=arrival.door, code=refused.error.code, dead_letter=seq, request_id=refused.request_id
        )
        return Answer(refused=refused.error)

    def _told(self, seq: int, refused: _Refusal) -> Any:
        assert refused.callback is not None
        status: Status = "failed"
        return rejection_delivery(
            seq=seq, request_id=refused.request_id, type=refused.type, status=status, error=refused.error,
            callback=refused.callback, metadata=refused.metadata, at=self._checks.clock(),
        )  # fmt: skip

    def _cancel(self, arrival: Arrival, control: Cancel) -> Answer:
        try:
            request_cancel(self._database, control.id, by=arrival.door)
        except JobNotFound as error:
            with self._database.write(durable=True) as connection:
                return self._refuse(connection, arrival, _Refusal(error, control.id))
        return Answer()


def _refusal(mapping: Mapping[str, Any], error: TelecineError) -> _Refusal:
    request_id, callback, metadata = salvage(mapping)
    kind = mapping.get("type")
    if isinstance(error, IdConflict):
        callback = None
    return _Refusal(error, request_id, callback, metadata, kind if isinstance(kind, str) else None)
