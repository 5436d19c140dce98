"""The states of jobs, steps, calls and deliveries, and the allowed transitions of a job (contract, section 5)."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """The state of a job. A terminal state absorbs: no transition of a worker leads out of it."""

    #: Admitted; not claimed yet.
    RECEIVED = "received"
    #: A worker holds its lease.
    RUNNING = "running"
    #: Parked until a provider has answered, or until a retry is due.
    WAITING = "waiting"
    #: Its media are stored; the manifest is being written.
    STORING = "storing"
    #: Its manifest is stored; its outcome is recorded.
    COMPLETED = "completed"
    #: It ended with an error that is not retried, or after too many retries.
    FAILED = "failed"
    #: It ended because its cancellation was requested.
    CANCELLED = "cancelled"
    #: Its deadline passed before it completed.
    EXPIRED = "expired"


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED})
OPEN = frozenset(State) - TERMINAL
#: Endings without a result. An operator's retry, and nothing else, leads from one of them back to ``received``.
RETRYABLE = TERMINAL - {State.COMPLETED}

_ENDS = frozenset({State.FAILED, State.CANCELLED, State.EXPIRED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.RUNNING}) | _ENDS,
    State.RUNNING: frozenset({State.RUNNING, State.WAITING, State.STORING}) | _ENDS,
    State.WAITING: frozenset({State.RUNNING}) | _ENDS,
    # Back to running if the worker died while storing: the next one replays the steps.
    State.STORING: frozenset({State.COMPLETED, State.RUNNING, State.WAITING}) | _ENDS,
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}


def sources(target: State) -> list[str]:
    """Return the states that may become ``target``; every UPDATE of a state names them."""
    return [state.value for state, targets in TRANSITIONS.items() if target in targets]


class StepState(enum.StrEnum):
    """The state of a step."""

    #: An attempt began and its result is not recorded: it is running, or its worker died.
    RUNNING = "running"
    #: Its result is recorded and will not be computed again.
    DONE = "done"


class DeliveryState(enum.StrEnum):
    """The state of a callback's delivery."""

    #: No attempt was recorded yet.
    PENDING = "pending"
    #: The last attempt failed; another one is scheduled.
    RETRYING = "retrying"
    #: The receiver acknowledged it.
    DELIVERED = "delivered"
    #: The receiver answered 410, or its address is forbidden: never sent again.
    DISABLED = "disabled"
    #: Every attempt of the schedule failed. It can be replayed.
    EXHAUSTED = "exhausted"


class CallState(enum.StrEnum):
    """The state of a call of a remote provider."""

    #: Enqueued; nothing was sent.
    QUEUED = "queued"
    #: The intent is recorded; it is being sent, or its engine died while sending.
    SUBMITTING = "submitting"
    #: The provider accepted it, and its task id is recorded.
    WORKING = "working"
    #: The provider is done; the result is being fetched into storage.
    FETCHING = "fetching"
    #: Unknown whether the provider accepted it. Looked up where possible, otherwise a person decides.
    UNKNOWN = "unknown"
    #: Its result is in storage and recorded.
    DONE = "done"
    #: It ended with an error; the job may choose another model.
    FAILED = "failed"
    #: It was cancelled, at the provider too if it had been accepted.
    CANCELLED = "cancelled"


#: Terminal states of a call.
SETTLED = frozenset({CallState.DONE, CallState.FAILED, CallState.CANCELLED})
