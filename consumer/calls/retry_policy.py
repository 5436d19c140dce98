"""When a failed action for a call is retried, and after how long."""

from __future__ import annotations

import time

from consumer.ledger.call_claims import ClaimedCall
from consumer.ledger.call_records import CallRow
from consumer.logs import logger
from schemas.backoff import backoff as exponential_backoff, outage_wait
from schemas.errors import (
    InputError,
    InternalError,
    ProviderError,
    ProviderRefused,
    ProviderTaskLost,
    RateLimited,
    RenderError,
    StorageError,
    TelecineError,
    Verdict,
)
from schemas.errors.disk import as_disk_error

log = logger(__name__)

#: How long a submission is retried while the provider answers "too many requests".
QUEUE_SECONDS = 86_400.0
#: Attempts to cancel a task. Few: after minutes the task has ended, and retrying no longer saves money.
CANCEL_TRIES = 8
#: Attempts to fetch a paid result if an operator may repair the cause: about an hour.
FETCH_TRIES = 20
#: Attempts while the storage is unavailable, which repairs itself: about a day.
AWAY_TRIES = 300
#: Attempts if this worker was interrupted or has no memory while it inspects the file: about two minutes.
INSPECT_TRIES = 8
#: Attempts if the file is not of an accepted kind: the provider's CDN may not have it yet.
INVALID_TRIES = 3
_MAX_BACKOFF_SECONDS = 300.0
#: Tasks whose time is measured at once; the oldest are forgotten, and get more time.
_WATCHED = 10_000
#: Errors of a poll that repeat. Any other one may be repaired by the operator.
_FINAL = (ProviderRefused, ProviderTaskLost)


def backoff(failures: int) -> float:
    """Return the seconds to wait after so many consecutive failures."""
    return exponential_backoff(failures, 1.0, _MAX_BACKOFF_SECONDS)


def wait_after(claimed: ClaimedCall, error: TelecineError) -> float:
    """Return the seconds to wait after an error: the backoff, but at least the provider's ``Retry-After``."""
    if error.outage:
        return outage_wait(claimed.now - claimed.call.queued_at, 1.0)
    return max(backoff(claimed.call.failures), getattr(error, "retry_after_seconds", None) or 0.0)


def may_resubmit(claimed: ClaimedCall, error: TelecineError, max_failures: int) -> bool:
    """Return whether to submit the call again after an error. The provider certainly did not accept it."""
    if error.outage:
        return True
    if error.verdict not in (Verdict.LATER, Verdict.ELSEWHERE):
        return False
    # A provider that works one call at a time rate-limits all others many times over: these are not failures.
    queues = isinstance(error, RateLimited) and claimed.now - claimed.call.queued_at < QUEUE_SECONDS
    return queues or claimed.call.failures + 1 < max_failures


class TaskWatch:
    """How long this process has polled each task. Time that it measures itself, because the ledger's clock may step."""

    def __init__(self) -> None:
        self._began: dict[tuple[str, str | None], float] = {}

    def is_over(self, call: CallRow, now: float, seconds: float, poll_seconds: float = 0.0) -> bool:
        """Return whether the task has certainly been polled for ``seconds``, by this process or by several.

        Args:
            call: The call.
            now: The ledger's time.
            seconds: The task's time limit.
            poll_seconds: The shortest time between two recorded polls.
        """
        key = (call.id, None if call.task is None else call.task.id)
        while key not in self._began and len(self._began) >= _WATCHED:
            del self._began[next(iter(self._began))]
        watched = time.monotonic() - self._began.setdefault(key, time.monotonic())
        overdue = call.give_up_at is not None and now >= call.give_up_at
        return watched >= seconds or (overdue and call.polls * poll_seconds >= seconds)


def may_poll_again(failures: int, error: TelecineError, max_failures: int, *, overdue: bool) -> bool:
    """Return whether to poll again after a failed poll."""
    # After a night without an engine the task is overdue but done: a single failed poll must not give it up.
    return error.outage or (not isinstance(error, _FINAL) and not (overdue and failures + 1 >= max_failures))


def may_fetch_again(failures: int, error: TelecineError) -> bool:
    """Return whether to fetch a paid result again after an error."""
    if error.outage:
        return True
    if isinstance(error, RenderError):
        # The file is here: without another machine or more memory it would be inspected with the same outcome.
        return error.verdict is not Verdict.NEVER and failures + 1 < INSPECT_TRIES
    transient = error.verdict is Verdict.LATER
    if transient and isinstance(error, StorageError):
        tries = AWAY_TRIES
    else:
        tries = FETCH_TRIES if transient or is_own_fault(error) else INVALID_TRIES
    return failures + 1 < tries


def may_cancel_again(failures: int, error: ProviderError) -> bool:
    """Return whether to try again to cancel a task after an error."""
    return error.verdict is Verdict.LATER and failures + 1 < CANCEL_TRIES


def is_own_fault(error: TelecineError) -> bool:
    """Return whether a result could not be fetched because of storage or a bug here, not because of the provider."""
    return not isinstance(error, ProviderError | InputError)


def as_telecine_error(error: Exception) -> TelecineError:
    """Return the error, or an ``InternalError`` for an unexpected exception, which is logged."""
    if isinstance(error, TelecineError):
        return error
    if (disk_error := as_disk_error(error)) is not None:
        return disk_error
    log.error("provider_adapter_failed", exc_info=error)
    return InternalError(f"unexpected {type(error).__name__}; see the log")
