"""What a job costs the ledger: nothing is read or created before something asks for it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer import app as consumer_app
from consumer.ledger import steps
from consumer.ledger.states import State
from consumer.runtime import Runtime
from consumer.storage import scratch
from consumer.wiring import build_runtime
from pipelines.registry import PIPELINES
from schemas.settings import Settings
from tests import note_pipeline
from tests.ledger_views import Ledger

assert note_pipeline  # importing it adds its job types


@pytest.fixture
def runtime(ledger: Ledger, tmp_path: Path) -> Iterator[Runtime]:
    url = ledger.a.url.render_as_string(hide_password=False)
    made = build_runtime(Settings(home=tmp_path, ledger_url=url), pipelines=PIPELINES)
    consumer_app.use_runtime(made)
    yield made
    consumer_app._runtimes.clear()
    made.close()


def manifest(runtime: Runtime, job_id: str) -> dict[str, Any]:
    """Return the job's manifest."""
    found = runtime.settings.storage_folder / "results" / job_id / "manifest.json"
    read: dict[str, Any] = json.loads(found.read_text())
    return read


def test_a_job_that_does_nothing_takes_two_transactions_and_eight_statements(
    ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.admit({"id": "j", "type": "noop", "data": {}}, {"id": "k", "type": "noop", "data": {}})
    pipelines = {**PIPELINES, "noop": dataclasses.replace(PIPELINES["noop"], short=False)}
    consumer_app.use_runtime(dataclasses.replace(runtime, pipelines=pipelines))
    consumer_app.advance("j")  # opens the connections
    statements: list[str] = []
    transactions: list[str] = []
    for engine in {runtime.database._normal, runtime.database._full}:
        sa.event.listen(engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
        sa.event.listen(engine, "commit", lambda _: transactions.append("commit"))
        sa.event.listen(engine, "rollback", lambda _: transactions.append("rollback"))
    consumer_app.advance("k")
    assert ledger.job("k").state is State.COMPLETED
    sent = [statement for statement in statements if not statement.startswith("BEGIN")]
    assert transactions == ["commit", "commit"]
    assert len(sent) == 8, "\n".join(sent)
    assert ledger.events("k") == ["received", "claimed", "storing", "completed"]


def test_an_attempt_that_asks_for_no_step_still_lists_those_of_the_attempt_before(
    ledger: Ledger, runtime: Runtime
) -> None:
    ledger.admit({"id": "j", "type": "noop", "data": {}})
    lease = ledger.claimed(seconds=-1)
    steps.begin(ledger.a, lease, "write")
    steps.record(ledger.a, lease, "write", [])
    consumer_app.advance("j")
    assert ledger.job().state is State.COMPLETED
    assert [step["name"] for step in manifest(runtime, "j")["steps"]] == ["write"]


def test_a_plan_creates_no_folder(ledger: Ledger, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(root: Path) -> Any:
        raise AssertionError(root)

    monkeypatch.setattr(scratch, "job_folder", never)
    ledger.admit({"id": "j", "type": "noop", "data": {}, "plan_only": True})
    consumer_app.advance("j")
    assert ledger.job().state is State.COMPLETED
    assert ledger.events() == ["received", "claimed", "planned", "completed"]
