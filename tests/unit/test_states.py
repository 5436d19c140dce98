"""The table of states: the contract's states, and no transitions out of terminal ones."""

from __future__ import annotations

import pytest

from consumer.ledger.states import OPEN, TERMINAL, TRANSITIONS, DeliveryState, State, sources


def test_the_states_are_those_of_the_contract() -> None:
    contract = ["received", "running", "waiting", "storing", "completed", "failed", "cancelled", "expired"]
    assert [state.value for state in State] == contract
    assert [state.value for state in DeliveryState] == ["pending", "retrying", "delivered", "disabled", "exhausted"]


def test_every_state_is_open_or_terminal_and_has_its_row() -> None:
    assert set(State) == OPEN | TERMINAL == set(TRANSITIONS)
    assert not OPEN & TERMINAL
    assert {"completed", "failed", "cancelled", "expired"} == TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_no_transition_leaves_a_terminal_state(state: State) -> None:
    assert TRANSITIONS[state] == frozenset()
    for target in State:
        assert state.value not in sources(target)


@pytest.mark.parametrize("state", sorted(OPEN))
def test_every_open_job_can_be_failed_cancelled_and_expired(state: State) -> None:
    assert {State.FAILED, State.CANCELLED, State.EXPIRED} <= TRANSITIONS[state]


@pytest.mark.parametrize("state", sorted(OPEN))
def test_every_open_job_can_still_be_completed(state: State) -> None:
    reached = {state}
    while new := {target for known in reached for target in TRANSITIONS[known]} - reached:
        reached |= new
    assert State.COMPLETED in reached


def test_a_job_completes_only_after_its_files_were_stored() -> None:
    assert sources(State.COMPLETED) == ["storing"]


def test_no_job_becomes_new_again() -> None:
    assert sources(State.RECEIVED) == []


def test_the_states_that_a_worker_may_claim_include_those_of_a_dead_worker() -> None:
    assert sources(State.RUNNING) == ["received", "running", "waiting", "storing"]
