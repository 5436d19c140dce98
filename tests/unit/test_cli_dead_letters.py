"""``telecine dead-letters``: list, show and replay."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from consumer.ledger.tables import deliveries
from tests.cli_operator import REEL, Operator, an_operator, request

_operator = pytest.fixture(an_operator, name="operator")

BAD = b'{"id": "order-1", "type": "reel", "data": {}}'


def letters(operator: Operator, *more: str) -> list[int]:
    return [letter["number"] for letter in operator.run("dead-letters", "list", "--json", *more).json]


def test_list_shows_reason_and_source(operator: Operator) -> None:
    operator.arrive(BAD, b"\xff\xfe")
    newest, first = operator.run("dead-letters", "list", "--json").json
    assert (first["code"], first["request_id"], first["source"]) == ("missing_field", "order-1", "inbox")
    assert newest["code"] == "invalid_json"
    assert "missing_field" in operator.run("dead-letters", "list").out


def test_show_prints_headers_and_the_original_text(operator: Operator) -> None:
    operator.arrive(BAD, headers={"x-origin": "shop"})
    out = operator.run("dead-letters", "show", "1").out
    assert "x-origin: shop" in out
    assert out.endswith(BAD.decode() + "\n")
    assert operator.run("dead-letters", "show", "1", "--json").json["body"] == BAD.decode()


@pytest.mark.parametrize("body", [b"\xff\xfebytes", b'{"id": "\x1b[31m"}'])
def test_show_prints_unprintable_bytes_as_a_hex_dump(operator: Operator, body: bytes) -> None:
    operator.arrive(body)
    out = operator.run("dead-letters", "show", "1").out
    assert body[:4].hex(" ") in out
    assert "\x1b" not in out


def test_show_raw_writes_the_original_bytes(operator: Operator, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    body = b"\xff\x00\n{" * 100
    operator.arrive(body)
    from ops.cli.dead_letters import show_

    show_(1, raw=True)
    assert capfdbinary.readouterr().out == body


def test_an_unknown_number_is_a_one_line_error(operator: Operator) -> None:
    result = operator.run("dead-letters", "show", "7")
    assert result.status == 1
    assert "There is no dead letter 7;" in result.err


def test_replay_admits_a_message_that_has_become_valid(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    body = request("order-1", callback={"url": "https://127.0.0.1/hook"})
    operator.arrive(body)
    assert operator.run("dead-letters", "replay", "1").status == 1
    monkeypatch.setenv("TELECINE_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")
    [result] = operator.run("dead-letters", "replay", "1", "--json").json
    assert (result["result"], result["job_id"]) == ("admitted", "order-1")
    job = operator.job("order-1")
    assert job is not None
    assert job.door == "replay"
    assert job.wake_at is not None
    assert job.wake_at - job.received_at <= 5.0
    assert letters(operator) == []
    assert letters(operator, "--all") == [1]


def test_a_dead_letter_that_is_refused_again_stays_the_only_one(operator: Operator) -> None:
    operator.arrive(BAD)
    result = operator.run("dead-letters", "replay", "--all", "--json")
    assert result.status == 1
    assert result.json[0]["error"]["code"] == "missing_field"
    assert letters(operator, "--all") == [1]


def test_a_dead_letter_whose_id_belongs_to_another_request_stays(operator: Operator) -> None:
    operator.receive("order-1")
    operator.arrive(request("order-1", priority="high"))
    result = operator.run("dead-letters", "replay", "--all", "--json")
    assert result.json[0]["error"]["code"] == "id_conflict"
    assert letters(operator) == [1]


def test_a_dead_letter_replayed_twice_is_a_duplicate(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.arrive(request("order-1", callback={"url": "https://127.0.0.1/hook"}))
    monkeypatch.setenv("TELECINE_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")
    operator.run("dead-letters", "replay", "1")
    assert operator.run("dead-letters", "replay", "1", "--json").json[0]["result"] == "duplicate"


def test_a_cloud_event_keeps_its_headers(operator: Operator) -> None:
    headers = {"ce-specversion": "1.0", "ce-source": "shop", "ce-id": "order-1", "ce-type": "later"}
    operator.arrive(json.dumps(REEL).encode(), headers=headers)
    from pipelines.registry import PIPELINES
    from schemas.job_types import JOB_TYPES

    try:
        JOB_TYPES["later"], PIPELINES["later"] = JOB_TYPES["reel"], PIPELINES["reel"]
        assert operator.run("dead-letters", "replay", "--all", "--json").json[0]["result"] == "admitted"
    finally:
        del JOB_TYPES["later"], PIPELINES["later"]
    assert "from shop" in operator.run("explain", "order-1").out


def test_a_cancellation_that_arrived_too_early_can_be_replayed(operator: Operator) -> None:
    operator.arrive(b'{"type": "job.cancel", "data": {"id": "order-1"}}')
    assert operator.run("dead-letters", "replay", "1").status == 1
    operator.receive("order-1")
    assert operator.run("dead-letters", "replay", "1", "--json").json[0]["result"] == "cancelled"
    job = operator.job("order-1")
    assert job is not None
    assert job.cancel_requested


def test_replay_needs_a_selection(operator: Operator) -> None:
    assert operator.run("dead-letters", "replay").status == 2


def test_dead_letters_are_dismissed_by_number_by_code_or_all_friction_h4(operator: Operator) -> None:
    operator.arrive(b"{}", b"not JSON", b'{"id": "a b"}', b"[1]", b"nor this")
    numbers = {item["number"]: item["code"] for item in operator.run("dead-letters", "list", "--json").json}
    first, *_, last = sorted(numbers)
    typo = operator.run("dead-letters", "dismiss", "--code", f"{numbers[last]}s")
    assert typo.err.startswith(f"No dead letter matches (did you mean {numbers[last]}?). The codes there are: ")
    assert operator.run("dead-letters", "dismiss", str(first)).out == "Dismissed 1 dead letter.\n"
    same = [number for number in numbers if numbers[number] == numbers[last] and number != first]
    result = operator.run("dead-letters", "dismiss", "--code", numbers[last], "--json")
    assert sorted(result.json["numbers"]) == sorted(same)
    left = {item["number"] for item in operator.run("dead-letters", "list", "--json").json}
    assert left == set(numbers) - {first} - set(same)
    assert operator.run("dead-letters", "dismiss", "--all").status == 0
    assert operator.run("dead-letters", "list", "--all", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 2), (("1", "--all"), 2), (("--all", "--code", "x"), 2), (("99",), 1)]
)
def test_dismiss_needs_one_choice_and_numbers_that_exist_friction_h4(
    operator: Operator, arguments: tuple[str, ...], status: int
) -> None:
    operator.arrive(b"{}")
    assert operator.run("dead-letters", "dismiss", *arguments).status == status
    assert len(operator.run("dead-letters", "list", "--json").json) == 1


def test_cleanup_deletes_old_dead_letters_and_their_callbacks_friction_h4(operator: Operator) -> None:
    refused = {"id": "r-1", "type": "reel", "data": {}, "callback": {"url": "https://shop.example/hook"}}
    operator.arrive(b"{}", json.dumps(refused).encode())
    operator.completed("kept", callback={"url": "https://shop.example/hook"})
    database = operator.database()
    with database.write() as connection:
        connection.execute(sa.update(deliveries).values(due_at=None))
        held = connection.execute(sa.select(sa.func.count()).select_from(deliveries)).scalar_one()
    ages = ("--dead-letters-max-age-hours", "0")
    kept = ("cleanup", "--max-age-hours", "1000")
    assert operator.run(*kept, "--json").json["dead_letters_deleted"] == 0
    assert operator.run(*kept, *ages, "--dry-run", "--json").json["dead_letters_deleted"] == 2
    assert operator.run(*kept, *ages, "--json").json["dead_letters_deleted"] == 2
    assert operator.run("dead-letters", "list", "--all", "--json").json == []
    with database.read() as connection:
        left = set(connection.execute(sa.select(deliveries.c.job_id)).scalars())
        remaining = connection.execute(sa.select(sa.func.count()).select_from(deliveries)).scalar_one()
    assert left == {"kept"}
    assert remaining == held - 1
    database.close()
