"""The ledger's connection breaks at a commit, and nobody hears whether it was made."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import completion
from consumer.ledger.database import Database
from consumer.ledger.states import CallState, State
from schemas.errors import JobCancelled
from tests.call_line import Line


def unheard(database: Database, monkeypatch: pytest.MonkeyPatch, function: str) -> list[str]:
    """The first commit of ``function`` is made, and its caller hears that the connection broke; set when it was."""
    broken: list[str] = []
    for engine in {database._normal, database._full}:
        commit = engine.dialect.do_commit

        def break_down(connection: Any, commit: Any = commit) -> None:
            commit(connection)
            if not broken and function in [frame.name for frame in traceback.extract_stack()]:
                broken.append(function)
                raise sa.exc.OperationalError("COMMIT", {}, OSError("the connection broke"))

        monkeypatch.setattr(engine.dialect, "do_commit", break_down)
    return broken


def test_a_call_whose_intent_was_written_unheard_is_sent_and_waits_for_nobody(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = unheard(line.runtime.database, monkeypatch, "claim_queued")
    assert line.finished().state is State.COMPLETED
    assert broken
    assert (line.alpha.charges.total(), line.call().spent) == (1, 100_000)
    assert "outcome_unknown" not in line.events()


def test_a_call_whose_intent_was_written_unheard_is_not_sent_when_its_job_has_ended(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consumer.ledger import call_claims

    unsent = call_claims.claimed_but_unconfirmed

    def later(*arguments: Any) -> Any:
        completion.end_idle(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
        return unsent(*arguments)

    monkeypatch.setattr(call_claims, "claimed_but_unconfirmed", later)
    unheard(line.runtime.database, monkeypatch, "claim_queued")
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.alpha.charges.total(), line.call().reserved) == (CallState.CANCELLED, 0, 0)
