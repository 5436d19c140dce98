"""Putting dead letters before the door again, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.admission.batch import Intake, Refusal
from consumer.admission.policy import Checks
from consumer.doors.door import Arrival
from consumer.execution.sweep import Waker
from consumer.ledger import dead_letters
from consumer.ledger.admission import Submission, submission
from consumer.ledger.database import Database
from consumer.ledger.queries import find_job
from consumer.ledger.records import Rejection
from consumer.uploads.decide import decided, is_event
from consumer.uploads.expansion import Expansion
from schemas.envelope import Cancellation
from schemas.errors import IdConflict, JobNotFound, TelecineError
from schemas.parse import parse_request
from schemas.s3_events import Dropped

#: The door that a replayed job shows.
DOOR = "replay"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one dead letter. ``refused`` is set when it is still one."""

    number: int
    #: ``admitted``, ``duplicate``, ``cancelled``, ``dropped`` or ``refused``.
    result: str
    job_id: str | None = None
    refused: TelecineError | None = None


class Replay:
    """Replays dead letters of one ledger.

    A crash after the admission leaves the letter unmarked: replayed again, it is a duplicate.
    """

    def __init__(
        self, database: Database, checks: Checks, wake: Waker | None = None, *, expansion: Expansion | None = None
    ) -> None:
        """``expansion`` makes requests of uploads; without one, S3 events stay dead letters."""
        self._database = database
        self._checks = checks
        self._intake = Intake(database, checks)
        self._expansion = expansion
        self._wake = wake

    def __call__(self, letter: Rejection) -> Replayed:
        """Admits the message, or says why not. What would be refused again makes no second dead letter."""
        try:
            if self._expansion is not None and is_event(letter.body, letter.headers):
                return self._uploaded(letter, self._expansion)
            job_id, result = self._expected(letter)
        except TelecineError as error:
            return Replayed(letter.seq, "refused", letter.request_id, error)
        answer = self._intake([Arrival(letter.body, DOOR, letter.source, letter.headers)])[0]
        if answer.refused is not None:
            return Replayed(letter.seq, "refused", job_id, answer.refused)
        with self._database.write(durable=True) as connection:
            dead_letters.mark_replayed(connection, letter.seq)
        if answer.wake is not None and self._wake is not None:
            self._wake([answer.wake])
        return Replayed(letter.seq, "admitted" if answer.wake is not None else result, job_id)

    def _expected(self, letter: Rejection) -> tuple[str, str]:
        """The id and what is going to happen.

        Raises:
            TelecineError: the door would refuse it.
        """
        request = parse_request(letter.body, letter.headers, limit_bytes=self._checks.max_message_bytes)
        known = find_job(self._database, request.id)
        if isinstance(request, Cancellation):
            tenant = self._checks.cancellation(request, letter.source).tenant
            if known is None or tenant not in (None, known.tenant):
                raise JobNotFound(f"no job has the id {request.id!r}")
            return request.id, "cancelled"
        placed = self._checks(request, letter.source)
        self._check_free(submission(placed.request, role=placed.role, door=DOOR))
        return request.id, "duplicate"

    def _uploaded(self, letter: Rejection, expansion: Expansion) -> Replayed:
        """Looks at the uploaded object now, not later: whoever replays wants to know what comes of it.

        Raises:
            TelecineError: it would be a dead letter again, or cannot be looked at just now.
        """
        arrival = Arrival(letter.body, DOOR, letter.source, letter.headers)
        item = decided(self._intake, expansion, arrival)
        if isinstance(item, Refusal):
            raise item.error
        if isinstance(item, Dropped):
            with self._database.write(durable=True) as connection:
                dead_letters.mark_replayed(connection, letter.seq)
            return Replayed(letter.seq, "dropped", None)
        self._check_free(item)
        answer = self._intake.settle(arrival, item, lambda connection: dead_letters.mark_replayed(connection, letter.seq))
        if answer.wake is not None and self._wake is not None:
            self._wake([answer.wake])
        return Replayed(letter.seq, "admitted" if answer.wake is not None else "duplicate", item.request.id)

    def _check_free(self, item: Submission) -> None:
        """Returns if the id belongs to no other request.

        Raises:
            IdConflict: it does.
        """
        known = find_job(self._database, item.request.id)
        if known is not None and known.fingerprint != item.fingerprint:
            raise IdConflict(f"id {item.request.id!r} belongs to another request by now", field="id")
