"""SIGTERM while a paid call is in flight: the process waits for the response, so no operator has to decide."""

from __future__ import annotations

import time
from pathlib import Path

from consumer.ledger.queries import timeline_of
from consumer.ledger.states import CallState, State
from tests.doubles.misbehaviour import Fault
from tests.provider_line import ProviderLine
from tests.telecine_process import wait_until

#: Longer than a stop waits for any other work.
SLOW_SECONDS = 18.0


def test_a_stop_waits_for_the_response_to_a_call_in_flight(tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home", exchange_timeout_seconds=40) as line:
        line.cococlip.fault(Fault("submit", "slow", seconds=SLOW_SECONDS))
        line.film("slow")
        line.telecine.start()
        wait_until(lambda: line.cococlip.count("submit") == 1)
        began = time.monotonic()
        assert line.telecine.stop() == 0
        assert time.monotonic() - began < 28  # Kubernetes kills after 30
        database = line.telecine.database()
        try:
            call = line.call(database, "slow")
            assert call is not None
            assert call.state is CallState.WORKING
            assert "outcome_unknown" not in [entry.event for entry in timeline_of(database, "slow")]
        finally:
            database.close()
        line.telecine.start()
        job = line.telecine.wait_for_job("slow")
        assert job.state is State.COMPLETED
        assert line.cococlip.count("submit") == 1


def test_a_stop_is_fast_when_no_call_is_in_flight(tmp_path: Path) -> None:
    with ProviderLine(tmp_path / "home", call_stop_seconds=300) as line:
        line.film("done")
        line.telecine.start()
        line.telecine.wait_for_job("done")
        began = time.monotonic()
        assert line.telecine.stop() == 0
        assert time.monotonic() - began < 15
