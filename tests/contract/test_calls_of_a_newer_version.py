"""During an upgrade two versions work on one ledger: the older one leaves what it cannot read to the newer one."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from consumer.ledger.states import CallState, State
from consumer.ledger.tables import calls
from tests.call_line import Line


@pytest.mark.parametrize("request_of", ["a_new_key", "another_form"])
@pytest.mark.parametrize("state", [CallState.QUEUED, CallState.WORKING, CallState.SUBMITTING, CallState.UNKNOWN])
def test_a_call_that_a_newer_version_stored_stops_no_other_call_friction_H8(
    line: Line, state: CallState, request_of: str
) -> None:
    """An engine of this version leaves it to a newer one, and goes on with the others."""
    line.submit("newer")
    assert line.advance("newer") is State.WAITING
    stored = line.runtime.database
    with stored.write() as connection:
        old = connection.execute(sa.select(calls.c.request)).scalar_one()
        request = old.replace("{", '{"new": 1, ', 1) if request_of == "a_new_key" else '{"version": 2}'
        changes = {"request": request, "state": state.value, "due_at": 1.0, "task": '{"id": "t"}'}
        if state is CallState.SUBMITTING:
            changes |= {"lease_owner": "another/machine", "lease_until": 1.0}
        connection.execute(sa.update(calls).values(changes))
    assert line.finished("j").state is State.COMPLETED
    with stored.read() as connection:
        query = sa.select(calls).where(calls.c.job_id == "newer")
        row = connection.execute(query).mappings().one()
    assert (row["state"], row["request"]) == (state.value, request)
    assert state is CallState.SUBMITTING or row["lease_owner"] is None
