"""``telecine costs``: what was paid, by tenant, model and day; an unset price is never shown as 0.00."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger import deletion
from consumer.ledger.tables import calls, jobs
from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


@pytest.fixture(autouse=True)
def _calls(operator: Operator) -> None:
    """Two days of calls: known and unknown prices, one that is open, one that failed before it was accepted."""
    rows: list[dict[str, Any]] = [
        {"submitted_at": at("2026-10-31T23:59:59.9"), "spent": 9_000_000, "tenant": "acme"},
        {"submitted_at": at("2026-11-01T00:00:00"), "spent": 100_000, "tenant": "acme"},
        {"submitted_at": at("2026-11-01T12:00:00"), "spent": 200_001, "tenant": "acme"},
        {"submitted_at": at("2026-11-01T23:59:59.9"), "spent": 0, "tenant": "acme"},
        {"submitted_at": at("2026-11-02T00:00:00"), "spent": 0, "provider": "elevenlabs", "model": "scribe"},
        {"submitted_at": at("2026-11-02T01:00:00"), "spent": 0, "state": "failed", "tenant": "=cmd()"},
        {"submitted_at": at("2026-11-02T01:00:00"), "reserved": 450_000, "state": "working", "due_at": 1.0},
        {"submitted_at": None, "reserved": 0, "state": "queued", "due_at": 1.0},
    ]
    common = {"job_id": "j", "step": "s", "attempt": 1, "provider": "pika", "model": "pika", "request": "{}"}
    common |= {"state": "done", "queued_at": 1.0, "spent": 0, "reserved": 0, "tenant": "", "due_at": None}
    database = operator.database()
    with database.write() as connection:
        for number, row in enumerate(rows):
            connection.execute(sa.insert(calls).values(id=str(number), **common | row))
    database.close()


SINCE = ("--since", "2026-11-01", "--until", "2026-11-03T00:00Z")


def test_costs_are_added_up_by_tenant_model_and_day(operator: Operator) -> None:
    found = operator.run("costs", *SINCE, "--json").json
    lines = [(line["day"], line["tenant"], line["model"], line["calls"], line["usd"]) for line in found["costs"]]
    assert lines == [
        ("2026-11-01", "acme", "pika", 3, "0.300001"),
        ("2026-11-02", "", "scribe", 1, None),
        ("2026-11-02", "", "pika", 1, "0.00"),
        ("2026-11-02", "=cmd()", "pika", 1, "0.00"),
    ]
    assert [line["unknown_calls"] for line in found["costs"]] == [1, 1, 0, 0]
    assert found["total"] == {"calls": 6, "unknown_calls": 2, "usd": "0.300001", "reserved_usd": "0.45"}
    by_day = operator.run("costs", *SINCE, "--json", "--by", "day").json["costs"]
    assert [(line["day"], line["calls"]) for line in by_day] == [("2026-11-01", 3), ("2026-11-02", 3)]
    of_one = operator.run("costs", "--since", "2026-01-01", "--json", "--tenant", "acme", "--by", "tenant").json
    assert [(line["tenant"], line["usd"]) for line in of_one["costs"]] == [("acme", "9.300001")]


def test_the_csv_has_unknown_and_no_formulas(operator: Operator) -> None:
    rows = list(csv.DictReader(io.StringIO(operator.run("costs", *SINCE, "--csv").out)))
    assert [row["usd"] for row in rows] == ["0.300001", "unknown", "0.00", "0.00"]
    assert [row["tenant"] for row in rows] == ["acme", "", "", "'=cmd()"]
    assert rows[2]["reserved_usd"] == "0.45"


def test_the_table_fits_80_columns(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = operator.run("costs", *SINCE)
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "unknown" in shown.out
    assert "2 at an unknown price" in " ".join(shown.err.split())


def test_a_price_of_zero_that_is_set_is_known(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_MODELS", json.dumps([{"id": "scribe", "price": "0.00"}]))
    found = operator.run("costs", *SINCE, "--by", "model", "--json").json["costs"]
    assert {line["model"]: (line["usd"], line["unknown_calls"]) for line in found} == {
        "pika": ("0.300001", 1),
        "scribe": ("0.00", 0),
    }


def test_costs_remain_when_their_job_is_deleted(operator: Operator) -> None:
    before = operator.run("costs", *SINCE, "--json", "--tenant", "acme").json
    operator.completed("j")
    database = operator.database()
    with database.write() as connection:
        connection.execute(sa.delete(calls).where(calls.c.state.in_(["working", "queued"])))
    assert deletion.delete_job(database, "j")
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one() == 0
    database.close()
    assert operator.run("costs", *SINCE, "--json", "--tenant", "acme").json == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--by", "colour"), "colour"),
        (("--until", "soon"), "--until: 'soon'"),
        (("--csv", "--json"), "--csv"),
        (("--since", "2030-01-01"), "No calls to providers"),
    ],
)
def test_what_cannot_be_shown_is_explained(operator: Operator, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in operator.run("costs", *arguments).err
