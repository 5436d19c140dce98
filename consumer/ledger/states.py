"""The states of a job and the only ways between them (contract, section 5)."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """Where a job stands. A terminal state absorbs: nothing leads out of it."""

    #: Admitted; no worker has had it yet.
    RECEIVED = "received"
    #: A worker holds its lease.
    RUNNING = "running"
    #: Parked: until a provider has answered, or a fault has passed.
    WAITING = "waiting"
    #: Its media are made; the manifest is being written.
    STORING = "storing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Its deadline passed first.
    EXPIRED = "expired"


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED})
OPEN = frozenset(State) - TERMINAL

_ENDS = frozenset({State.FAILED, State.CANCELLED, State.EXPIRED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.RUNNING}) | _ENDS,
    State.RUNNING: frozenset({State.RUNNING, State.WAITING, State.STORING}) | _ENDS,
    State.WAITING: frozenset({State.RUNNING}) | _ENDS,
    # Back to running when the worker died while storing: the next one goes through the steps again.
    State.STORING: frozenset({State.COMPLETED, State.RUNNING, State.WAITING}) | _ENDS,
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}


def sources(target: State) -> list[str]:
    """The states that may become ``target``; every UPDATE of a state names them."""
    return [state.value for state, targets in TRANSITIONS.items() if target in targets]


class StepState(enum.StrEnum):
    """The state of a step."""

    RUNNING = "running"
    #: Its result is recorded and will not be computed again.
    DONE = "done"


class DeliveryState(enum.StrEnum):
    """Where a callback stands."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    #: The receiver answered 410, or its address is forbidden.
    DISABLED = "disabled"
    #: Every attempt of the schedule failed.
    EXHAUSTED = "exhausted"


class CallState(enum.StrEnum):
    """Where a call of a remote provider stands."""

    #: Wanted; nothing was sent.
    QUEUED = "queued"
    #: The intent is written; it is being sent, or was when its worker died.
    SUBMITTING = "submitting"
    #: The provider has it, and its task is known.
    WORKING = "working"
    #: The provider is done; the result is being fetched into storage.
    FETCHING = "fetching"
    #: Nobody knows whether the provider has it. Looked up where that is possible, else a person decides.
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Calls that nothing more happens to.
SETTLED = frozenset({CallState.DONE, CallState.FAILED, CallState.CANCELLED})
