"""An operator settles a call with an unknown outcome."""

from __future__ import annotations

import pytest

from consumer.ledger import call_resolution
from consumer.ledger.states import CallState, State
from providers.base import Call, Failed, Pending, Ready, TaskRef
from schemas.errors import InvalidField, ProviderTaskLost, StepSettled
from tests.call_line import Line


@pytest.fixture
def line(line: Line) -> Line:
    """Return a line whose only call has an unknown outcome."""
    line.lose_first_response()
    return line


def test_resubmit_sends_the_call_once_more(line: Line) -> None:
    call_resolution.resubmit(line.runtime.database, line.call(), by="test")
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED
    assert line.alpha.charges.total() == 2  # the operator decided that the first one never arrived


def test_adopt_polls_the_task_that_the_operator_found(line: Line) -> None:
    call_resolution.adopt(line.runtime.database, line.call(), "task-1", by="test", give_up_seconds=60)
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_an_id_that_the_provider_does_not_know_leaves_the_outcome_unknown(line: Line) -> None:
    poll = line.alpha.poll

    async def asked(call: Call, task: TaskRef) -> Pending | Ready | Failed:
        return Failed(ProviderTaskLost("no such task"), charged=True) if task.id == "tsak-1" else await poll(call, task)

    line.alpha.poll = asked  # type: ignore[method-assign]
    call_resolution.adopt(line.runtime.database, line.call(), "tsak-1", by="test", give_up_seconds=60)
    line.until(lambda: line.events().count("outcome_unknown") == 2)
    assert (line.call().state, line.call().reserved, line.call().task) == (CallState.UNKNOWN, 100_000, None)
    call_resolution.adopt(line.runtime.database, line.call(), "task-1", by="test", give_up_seconds=60)
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_the_task_of_another_job_is_not_adopted(line: Line) -> None:
    line.submit("k")
    assert line.advance("k") is State.WAITING
    line.until(lambda: line.call("k").settled)
    with pytest.raises(InvalidField, match="'k'"):
        call_resolution.adopt(line.runtime.database, line.call(), "task-2", by="test", give_up_seconds=60)
    assert line.call().state is CallState.UNKNOWN


def test_write_off_fails_the_job_and_the_price_counts_as_spent(line: Line) -> None:
    call_resolution.write_off(line.runtime.database, line.call(), by="test")
    assert line.advance() is State.FAILED
    assert (line.job().error or {})["code"] == "outcome_unknown"
    assert (line.call().spent, line.call().reserved) == (100_000, 0)


def test_a_settled_call_cannot_be_resolved_again(line: Line) -> None:
    unknown = line.call()
    call_resolution.write_off(line.runtime.database, unknown, by="test")
    for again in (call_resolution.resubmit, call_resolution.write_off):
        with pytest.raises(StepSettled):
            again(line.runtime.database, unknown, by="test")
