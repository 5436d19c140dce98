"""The cost in the callback of a job without a result."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.execution.sweep import Sweep
from consumer.ledger import tables
from consumer.ledger.completion import request_cancel
from consumer.ledger.states import State
from ops.cancelling import cancel_now
from providers.base import Failed
from providers.catalogue import Model
from schemas.errors import ProviderTaskFailed
from tests.call_line import Line


def callback_data(line: Line) -> dict[str, Any]:
    """Return ``data`` of the job's only callback."""
    with line.runtime.database.read() as connection:
        (body,) = connection.execute(sa.select(tables.deliveries.c.body)).scalars()
    data: dict[str, Any] = json.loads(body)["data"]
    return data


def fields(**data: Any) -> dict[str, Any]:
    return {"callback": {"url": "https://shop.example/hook"}, "data": data}


@pytest.mark.parametrize("charged", [True, False])
def test_the_callback_of_a_failed_job_has_its_cost_if_there_is_one(line: Line, charged: bool) -> None:
    line.alpha.result = lambda call: Failed(ProviderTaskFailed("no ideas"), charged=charged)
    line.beta.result = lambda call: Failed(ProviderTaskFailed("none either"), charged=charged)
    job = line.finished(**fields(models=["first", "second"]))
    assert job.state is State.FAILED
    assert callback_data(line).get("cost") == ({"amount": "0.20", "currency": "USD"} if charged else None)


@pytest.mark.parametrize("by_sweep", [True, False])
def test_the_callback_of_a_job_that_is_cancelled_after_a_paid_step_has_its_cost(line: Line, by_sweep: bool) -> None:
    line.submit(**fields())
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().settled)
    if by_sweep:
        request_cancel(line.runtime.database, "j", by="test")
        Sweep(line.runtime, lambda wakes: True).sweep()
    else:
        cancel_now(line.runtime.database, "j")
    assert (callback_data(line)["status"], callback_data(line)["cost"]["amount"]) == ("cancelled", "0.10")


def test_a_result_at_a_price_that_is_not_set_has_no_amount(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "cost", lambda *_: None)
    job = line.finished(**fields())
    assert (job.state, line.call().spent) == (State.COMPLETED, 0)
    manifest = json.loads((line.runtime.settings.storage_folder / "results" / "j" / "manifest.json").read_text())
    assert (manifest["cost"], manifest["details"]["calls"][0]["cost"]) == ({"currency": "USD"}, None)
    assert callback_data(line)["cost"] == {"currency": "USD"}
