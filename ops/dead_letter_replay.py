"""Replay of dead letters: the original bytes go through admission again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import Connection

from consumer.admission.batch import BatchAdmitter
from consumer.admission.dead_letters import FailedMessage
from consumer.admission.message import IncomingMessage
from consumer.admission.parsing import identity_of
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import dead_letters
from consumer.ledger.admission import Identity, Submission, build_submission
from consumer.ledger.database import Database
from consumer.ledger.due import Waker
from consumer.ledger.queries import find_job
from consumer.ledger.records import DeadLetter
from consumer.ledger.timeline import note
from consumer.runtime import Runtime
from consumer.uploads.decide import decide, is_event
from consumer.uploads.request_factory import RequestFactory
from consumer.wiring import admission_policy, request_factory
from schemas.envelope import Cancellation
from schemas.errors import IdConflict, JobNotFound, MessageTooLarge, TelecineError
from schemas.parse import parse_request
from schemas.s3_events import Dropped

#: The ``door`` recorded for a replayed job.
DOOR = "replay"


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result for one dead letter. ``refused`` is the error if it stays a dead letter."""

    number: int
    #: ``admitted``, ``duplicate``, ``cancelled``, ``dropped`` or ``refused``.
    result: str
    job_id: str | None = None
    refused: TelecineError | None = None


class DeadLetterReplay:
    """Replays dead letters of one ledger.

    A crash after the admission leaves the dead letter unmarked; a second replay then reports a duplicate.
    """

    def __init__(
        self,
        database: Database,
        policy: AdmissionPolicy,
        wake: Waker | None = None,
        *,
        request_factory: RequestFactory | None = None,
        by: str = "cli",
    ) -> None:
        """Replay into ``database``, for ``by``; without a ``request_factory``, S3 events stay dead letters."""
        self._database = database
        self._policy = policy
        self._admitter = BatchAdmitter(database, policy)
        self._request_factory = request_factory
        self._wake = wake
        self._by = by

    def __call__(self, letter: DeadLetter) -> ReplayResult:
        """Admit the message and return the result. A message that fails again does not create a second dead letter."""
        try:
            _check_whole(letter)
            if self._request_factory is not None and is_event(letter.body, letter.headers):
                return self._uploaded(letter, self._request_factory)
            job_id, result = self._expected(letter)
        except TelecineError as error:
            return ReplayResult(letter.seq, "refused", letter.request_id, error)
        answer = self._admitter([IncomingMessage(letter.body, DOOR, letter.source, letter.headers)])[0]
        if answer.error is not None:
            return ReplayResult(letter.seq, "refused", job_id, answer.error)
        with self._database.write(durable=True) as connection:
            self._mark(connection, letter, job_id)
        if answer.wake is not None and self._wake is not None:
            self._wake([answer.wake])
        return ReplayResult(letter.seq, "admitted" if answer.wake is not None else result, job_id)

    def _expected(self, letter: DeadLetter) -> tuple[str, str]:
        """Return the job's id and the expected result.

        Raises:
            TelecineError: If admission would refuse the message.
        """
        request = parse_request(letter.body, letter.headers, limit_bytes=self._policy.max_message_bytes)
        known = find_job(self._database, request.id)
        if isinstance(request, Cancellation):
            tenant = self._policy.check_cancellation(request, letter.source).tenant
            if known is None or tenant not in (None, known.tenant):
                raise JobNotFound(f"no job has the id {request.id!r}")
            return request.id, "cancelled"
        message = IncomingMessage(letter.body, DOOR, letter.source, letter.headers)
        if self._is_known(identity_of(request, message, self._policy)):
            return request.id, "duplicate"  # even if the rules have changed since it was admitted
        admissible = self._policy.check(request, letter.source)
        self._check_free(build_submission(admissible.request, role=admissible.role, door=DOOR))
        return request.id, "duplicate"

    def _uploaded(self, letter: DeadLetter, request_factory: RequestFactory) -> ReplayResult:
        """Check the uploaded object now instead of queueing it, so that the result of the replay is known at once.

        Raises:
            TelecineError: If the event would be a dead letter again, or the object cannot be read at the moment.
        """
        message = IncomingMessage(letter.body, DOOR, letter.source, letter.headers)
        item = decide(self._policy, request_factory, message)
        if isinstance(item, FailedMessage) and not self._is_known(item.identity):
            raise item.error
        if isinstance(item, Dropped):
            with self._database.write(durable=True) as connection:
                dead_letters.mark_replayed(connection, letter.seq)
            return ReplayResult(letter.seq, "dropped", None)
        if isinstance(item, Submission):
            self._check_free(item)
        job_id = item.request.id if isinstance(item, Submission) else item.request_id
        answer = self._admitter.admit_one(message, item, lambda connection: self._mark(connection, letter, job_id))
        if answer.wake is not None and self._wake is not None:
            self._wake([answer.wake])
        return ReplayResult(letter.seq, "admitted" if answer.wake is not None else "duplicate", job_id)

    def _mark(self, connection: Connection, letter: DeadLetter, job_id: str | None) -> None:
        dead_letters.mark_replayed(connection, letter.seq)
        if job_id is not None:
            note(connection, job_id, "dead_letter_replayed", number=letter.seq, by=self._by)

    def _is_known(self, identity: Identity | None) -> bool:
        """Return whether the same request already has a job."""
        known = None if identity is None else find_job(self._database, identity.job_id)
        return known is not None and Identity(known.id, known.fingerprint, known.tenant) == identity

    def _check_free(self, item: Submission) -> None:
        """Check that the id does not belong to another request.

        Raises:
            IdConflict: If it does.
        """
        known = find_job(self._database, item.request.id)
        if known is not None and known.fingerprint != item.fingerprint:
            raise IdConflict(f"id {item.request.id!r} now belongs to another request", field="id")


def dead_letter_replay(runtime: Runtime, *, by: str) -> DeadLetterReplay:
    """Return what replays dead letters of this installation, for ``by``.

    Without a broker nothing is woken: the sweep of the running ``telecine up`` finds the jobs.
    """
    wake: Waker | None = None
    if not runtime.settings.embedded:
        from consumer.app import app
        from consumer.wakeups.send import WakeUps

        wake = WakeUps(app)
    return DeadLetterReplay(
        runtime.database, admission_policy(runtime), wake, request_factory=request_factory(runtime), by=by
    )


def _check_whole(letter: DeadLetter) -> None:
    """Check that the dead letter has all bytes of its message.

    Raises:
        MessageTooLarge: Only the beginning was kept.
    """
    size = letter.headers.get(dead_letters.SIZE)
    if isinstance(size, int) and size > len(letter.body):
        raise MessageTooLarge(
            f"only the first {len(letter.body):,} of {size:,} bytes were kept; the producer must send the message again"
        )
