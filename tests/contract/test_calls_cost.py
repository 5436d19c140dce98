"""What the callback of a job without a result says about the money."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.execution.sweep import Sweep
from consumer.ledger import tables
from consumer.ledger.completion import request_cancel
from consumer.ledger.states import State
from ops.cli.cancel import cancel_now
from providers.base import Failed
from schemas.errors import ProviderTaskFailed
from tests.call_line import Line


def told(line: Line) -> dict[str, Any]:
    """``data`` of the job's one callback."""
    with line.runtime.database.read() as connection:
        (body,) = connection.execute(sa.select(tables.deliveries.c.body)).scalars()
    data: dict[str, Any] = json.loads(body)["data"]
    return data


def asked(**data: Any) -> dict[str, Any]:
    return {"callback": {"url": "https://shop.example/hook"}, "data": data}


@pytest.mark.parametrize("charged", [True, False])
def test_a_failed_job_tells_what_was_spent_and_nothing_where_nothing_was(line: Line, charged: bool) -> None:
    line.alpha.result = lambda call: Failed(ProviderTaskFailed("no ideas"), charged=charged)
    line.beta.result = lambda call: Failed(ProviderTaskFailed("none either"), charged=charged)
    job = line.finished(**asked(models=["first", "second"]))
    assert job.state is State.FAILED
    assert told(line).get("cost") == ({"amount": "0.20", "currency": "USD"} if charged else None)


@pytest.mark.parametrize("by_sweep", [True, False])
def test_a_job_that_is_cancelled_after_a_paid_step_tells_its_cost(line: Line, by_sweep: bool) -> None:
    line.submit(**asked())
    assert line.advance() is State.WAITING
    line.start()
    line.until(lambda: line.call().settled)
    if by_sweep:
        request_cancel(line.runtime.database, "j", by="test")
        Sweep(line.runtime, lambda wakes: True).sweep()
    else:
        cancel_now(line.runtime.database, "j")
    assert (told(line)["status"], told(line)["cost"]["amount"]) == ("cancelled", "0.10")
