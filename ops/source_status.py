"""The status words of the source systems: pending, processing, completed and failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.ledger.call_queries import with_open_call
from consumer.ledger.database import Database
from consumer.ledger.records import Job
from consumer.ledger.states import State

#: The word for each state. A job that waits until a retry is due is pending, see ``source_words``.
_WORDS = {
    State.RECEIVED: "pending",
    State.RUNNING: "processing",
    State.WAITING: "processing",
    State.STORING: "processing",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
    State.EXPIRED: "failed",
}
#: The words that cover jobs in several states, or a part of those in one.
OPEN_WORDS = ("pending", "processing")


def source_words(database: Database, jobs: Sequence[Job], now: float) -> Mapping[str, str]:
    """Return the word for each job, by its id. ``now`` is the ledger's time."""
    idle = [job.id for job in jobs if job.state is State.WAITING and job.wake_at is not None and job.not_before > now]
    retried = set(idle) - with_open_call(database, idle)
    return {job.id: "pending" if job.id in retried else _WORDS[job.state] for job in jobs}


def states_of_word(word: str) -> tuple[Sequence[str], bool | None]:
    """Return the states of the jobs that a word covers, and which ``waiting`` ones: ``at_work`` of ``list_jobs``."""
    states = [state.value for state, its_word in _WORDS.items() if its_word == word]
    if word == "pending":
        return [*states, State.WAITING.value], False
    return states, True if word == "processing" else None
