"""A paid result is not lost to trouble on this side: unavailable storage, or other files at its place."""

from __future__ import annotations

import dataclasses
import errno
import time
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.calls import actions, fetching, retry_policy
from consumer.execution import outcome
from consumer.ledger import calls, deletion, tables
from consumer.ledger.states import State
from schemas.errors import (
    InputForbidden,
    InputUnavailable,
    InternalError,
    OutOfMemory,
    StorageUnavailable,
    TelecineError,
)
from tests.call_line import Line

AWAY: tuple[type[TelecineError], ...] = (StorageUnavailable, InternalError)


@pytest.fixture
def line_settings() -> dict[str, Any]:
    return {"retry_seconds": 0.01}


def storage_fails(line: Line, monkeypatch: pytest.MonkeyPatch, error: type[TelecineError], times: int) -> None:
    """Make the storage fail ``times`` times."""
    put, left = line.runtime.storage.put, [error("away") for _ in range(times)]

    def away(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return put(*arguments)

    monkeypatch.setattr(line.runtime.storage, "put", away)
    monkeypatch.setattr(outcome, "MAX_RETRY_SECONDS", 0.0)


def advanced(line: Line, times: int) -> State | None:
    state = None
    for _ in range(times):
        state = line.advance()
    return state


@pytest.mark.parametrize("error", AWAY)
def test_a_job_with_a_paid_result_outlasts_a_long_storage_outage(
    line: Line, monkeypatch: pytest.MonkeyPatch, error: type[TelecineError]
) -> None:
    storage_fails(line, monkeypatch, error, 12)
    assert line.finished().state is State.WAITING
    assert advanced(line, 11) is State.WAITING  # max_failures is 3
    assert line.advance() is State.COMPLETED
    assert line.alpha.charges.total() == 1


def test_a_job_with_a_paid_result_is_retried_for_a_day(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    storage_fails(line, monkeypatch, StorageUnavailable, 99)
    assert line.finished().state is State.WAITING
    assert advanced(line, 5) is State.WAITING
    with line.runtime.database.write() as connection:
        ago = tables.calls.c.finished_at - outcome.DELIVERED_SECONDS
        connection.execute(sa.update(tables.calls).values(finished_at=ago))
    assert line.advance() is State.FAILED
    assert (line.job().error or {})["code"] == "retries_exhausted"


def test_a_rendering_error_has_the_usual_number_of_attempts(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    storage_fails(line, monkeypatch, OutOfMemory, 99)
    assert line.finished().state is State.WAITING
    assert advanced(line, 2) is State.FAILED


def test_a_job_whose_output_exists_is_refused_before_anything_is_paid(line: Line) -> None:
    assert line.finished().state is State.COMPLETED
    assert deletion.delete_job(line.runtime.database, "j")
    line.submit(data={"length": 7})
    assert line.advance() is State.FAILED
    error = line.job().error or {}
    assert (error["code"], error["field"]) == ("output_exists", "output")
    assert "s3://results/j/manifest.json" in error["message"]
    assert line.alpha.charges.total() == 1


def test_a_repeated_request_adopts_its_own_earlier_files(line: Line) -> None:
    assert line.finished().state is State.COMPLETED
    assert deletion.delete_job(line.runtime.database, "j")
    line.submit()
    assert line.advance() is State.WAITING
    line.until(lambda: line.call().settled)
    assert line.advance() is State.COMPLETED


def test_a_film_of_another_writer_is_not_overwritten(line: Line) -> None:
    folder = line.runtime.settings.storage_folder / "results" / "j"
    folder.mkdir(parents=True)
    (folder / "film.mp4").write_bytes(b"mine")
    line.submit(data={"film": True})
    assert line.advance() is State.FAILED
    assert (line.job().error or {})["code"] == "output_exists"
    assert calls.of_job(line.runtime.database, "j") == []


def test_nothing_is_paid_for_while_the_storage_is_unavailable(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    head, faults = line.runtime.storage.head, [InputUnavailable("HTTP 503")]

    def away(uri: str) -> Any:
        if faults:
            raise faults.pop()
        return head(uri)

    monkeypatch.setattr(line.runtime.storage, "head", away)
    line.submit()
    assert line.advance() is State.WAITING
    assert calls.of_job(line.runtime.database, "j") == []
    assert "retry_later" in line.events()
    time.sleep(0.05)
    assert line.advance() is State.WAITING
    assert line.call().provider == "alpha"


def test_a_folder_that_may_be_written_but_not_read_does_not_prevent_a_call(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(uri: str) -> Any:
        raise InputForbidden("HTTP 403")

    monkeypatch.setattr(line.runtime.storage, "head", closed)
    line.submit()
    assert line.advance() is State.WAITING
    assert line.call().provider == "alpha"


@pytest.mark.parametrize("action", ["submit", "fetch"])
def test_an_outage_of_this_side_uses_up_no_tries_of_a_call_attack_12(
    line: Line, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [StorageUnavailable("the storage is away", outage=True), OSError(errno.ENOSPC, "disk full")]
    monkeypatch.setattr(retry_policy, "FETCH_TRIES", 1)
    monkeypatch.setattr(retry_policy, "AWAY_TRIES", 1)
    settings = line.runtime.settings.model_copy(update={"max_failures": 1})
    line.runtime = dataclasses.replace(line.runtime, settings=settings)

    def fail_first(*arguments: Any) -> Any:
        if failures:
            raise failures.pop(0)

    if action == "submit":
        failures[1:] = [InputUnavailable("the input is away", outage=True)]
        line.alpha.before = fail_first
    else:
        fetch = fetching.fetch_result
        monkeypatch.setattr(actions, "fetch_result", lambda *given: fail_first() or fetch(*given))
    assert line.finished().state is State.COMPLETED
    assert not failures
    assert line.alpha.charges.total() == 1
    assert line.call().failures == 0
    assert line.events().count("call_put_off") == 2
