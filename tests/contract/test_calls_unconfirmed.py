"""The ledger's connection fails at a commit, so that it is not known whether the commit was made."""

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


def unconfirmed_commit(database: Database, monkeypatch: pytest.MonkeyPatch, function: str) -> list[str]:
    """Make the first commit of ``function`` raise after it was made; the returned list is not empty from then on."""
    broken: list[str] = []
    for engine in {database._normal, database._full}:
        commit = engine.dialect.do_commit

        def break_down(connection: Any, commit: Any = commit) -> None:
            commit(connection)
            if not broken and function in [frame.name for frame in traceback.extract_stack()]:
                broken.append(function)
                raise sa.exc.OperationalError("COMMIT", {}, OSError("connection lost"))

        monkeypatch.setattr(engine.dialect, "do_commit", break_down)
    return broken


def test_a_call_with_an_unconfirmed_intent_is_submitted_once_without_an_operator(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = unconfirmed_commit(line.runtime.database, monkeypatch, "claim_queued")
    assert line.finished().state is State.COMPLETED
    assert broken
    assert (line.alpha.charges.total(), line.call().spent) == (1, 100_000)
    assert "outcome_unknown" not in line.events()


def test_a_call_with_an_unconfirmed_intent_is_not_submitted_if_its_job_has_ended(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consumer.ledger import call_claims

    find_unconfirmed = call_claims.claimed_but_unconfirmed

    def end_job_first(*arguments: Any) -> Any:
        completion.finish_unleased(line.runtime.database, "j", State.CANCELLED, JobCancelled(), None)
        return find_unconfirmed(*arguments)

    monkeypatch.setattr(call_claims, "claimed_but_unconfirmed", end_job_first)
    unconfirmed_commit(line.runtime.database, monkeypatch, "claim_queued")
    line.submit()
    line.advance()
    line.start()
    line.until(lambda: line.call().settled)
    assert (line.call().state, line.alpha.charges.total(), line.call().reserved) == (CallState.CANCELLED, 0, 0)
