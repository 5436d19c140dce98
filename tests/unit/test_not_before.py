"""``not_before``: a request is admitted at once and started later."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import pytest

from consumer.ledger.due import take_due
from consumer.ledger.leases import claim
from consumer.ledger.queries import find_job, oldest_open_seconds
from schemas.envelope import Request
from schemas.errors import InvalidField
from schemas.parse import parse_request
from tests.cli_operator import REEL, Operator, an_operator
from tests.ledger_views import next_job
from tests.telecine_process import TelecineProcess, wait_until

_operator = pytest.fixture(an_operator, name="operator")
PLAIN = {"id": "later", "type": "reel", "data": REEL}


def at(seconds: float) -> str:
    """Return the time so many seconds from now, in RFC 3339."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def read(**fields: Any) -> Request:
    request = parse_request(json.dumps(PLAIN | fields).encode())
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize("value", [3600, 0.5, "2026-01-01T00:00:00Z", "2020-01-01T00:00:00+02:00"])
def test_it_is_seconds_from_receipt_or_a_time(value: float | str) -> None:
    expected = 1000.0 + value if not isinstance(value, str) else dt.datetime.fromisoformat(value).timestamp()
    assert read(not_before=value).not_before_at(1000.0) == expected


@pytest.mark.parametrize(
    "value", [0, -1, "tomorrow", "3600", True, [], 31_536_001, "2999-01-01T00:00:00Z", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_time_within_a_year_is_refused(value: object) -> None:
    with pytest.raises(InvalidField, match="not_before"):
        read(not_before=value)


@pytest.mark.parametrize("deadline_is_a_time", [True, False])
@pytest.mark.parametrize("start_is_a_time", [True, False])
def test_a_deadline_before_the_start_is_refused(start_is_a_time: bool, deadline_is_a_time: bool) -> None:
    start, deadline = at(90) if start_is_a_time else 90, at(60) if deadline_is_a_time else 60
    assert read(not_before=start, deadline=3600).deadline == 3600
    with pytest.raises(InvalidField, match="deadline: must be later than not_before"):
        read(not_before=start, deadline=deadline)


def test_a_cloud_event_has_it_too() -> None:
    event = PLAIN | {"specversion": "1.0", "source": "shop", "notbefore": "90"}
    request = parse_request(json.dumps(event).encode())
    assert isinstance(request, Request)
    assert request.not_before_at(1000.0) == 1090.0


def test_a_stored_request_can_be_read_by_workers_that_do_not_know_the_field(operator: Operator) -> None:
    operator.receive("later", not_before=3600)
    job = operator.job("later")
    assert job is not None
    assert "not_before" not in json.loads(job.request)
    assert job.scheduled_for == job.received_at + 3600


def test_another_time_is_another_request_and_the_same_is_a_duplicate(operator: Operator) -> None:
    operator.receive("later", not_before=3600)
    operator.receive("later", not_before=3600)
    operator.receive("later", not_before=7200)
    job = operator.job("later")
    assert job is not None
    assert job.duplicates == 1
    assert operator.run("dead-letters", "list", "--json").json[0]["code"] == "id_conflict"


def test_it_waits_is_shown_and_is_not_counted_as_late(operator: Operator) -> None:
    operator.receive("later", not_before=7200)
    database = operator.database()
    assert take_due(database, limit=10, again_seconds=1) == []
    assert next_job(database, "later") is None
    assert claim(database, "later", owner="a/b/c/1/1/1", seconds=30) is None
    assert oldest_open_seconds(database) == 0
    database.close()
    assert "not before" in operator.run("status", "later").out
    assert "starts in" in operator.run("list").out
    assert operator.run("status", "later", "--json").json["not_before"].endswith("Z")
    assert operator.run("cancel", "later").status == 0


def test_it_starts_after_its_time_and_not_before(tmp_path: Path) -> None:
    with TelecineProcess(tmp_path / "data", notes=True) as telecine:
        telecine.start()
        telecine.submit({"id": "n-1", "type": "note", "data": {"seconds": 0}, "not_before": 4})
        database = telecine.database()
        wait_until(lambda: (job := find_job(database, "n-1")) is not None and job.terminal)
        job = find_job(database, "n-1")
        database.close()
    assert job is not None
    assert job.started_at is not None
    assert 4 <= job.started_at - job.received_at < 60
    assert time.time() > job.started_at
