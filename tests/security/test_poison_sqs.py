"""Poison messages on a real SQS server: dead letters in the ledger and on SQS; other messages are served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumer.ledger import dead_letters
from tests.acceptance.test_sqs_line import telecine_on_sqs
from tests.ledger_views import count_jobs
from tests.servers.s3 import S3
from tests.servers.sqs import make_queue
from tests.telecine_process import wait_until

POISONS = 1_000
GOOD = 20


@pytest.mark.timeout(600)
def test_a_thousand_poisons_among_valid_requests_do_not_stop_the_sqs_door(
    s3: S3, queue_prefix: str, tmp_path: Path
) -> None:
    queue = make_queue(s3, f"{queue_prefix}requests")
    bodies = [_poison(number) for number in range(POISONS)]
    step = POISONS // GOOD
    with telecine_on_sqs(tmp_path / "home", s3, queue) as telecine:
        telecine.start()
        for number in range(GOOD):
            queue.send(*bodies[number * step : (number + 1) * step])
            queue.send({"id": f"good-{number}", "type": "note", "data": {}})
        database = telecine.database()
        wait_until(
            lambda: count_jobs(database) == {"completed": GOOD}, timeout=90, what=lambda: str(count_jobs(database))
        )
        wait_until(lambda: queue.counts() == (0, 0), timeout=90)
        kept = dead_letters.list_newest(database, limit=POISONS + 1)
        dead = queue.dead(POISONS, timeout=90)
        assert telecine.running
        assert "sqs_disconnected" not in telecine.log.read_text()
    assert sorted(letter.body for letter in kept) == sorted(body.encode() for body in bodies)
    assert {(letter.door, letter.source) for letter in kept} == {("sqs", queue.name)}
    assert sorted(message["Body"] for message in dead) == sorted(bodies)
    codes = {message["Body"]: message["MessageAttributes"]["telecine-code"]["StringValue"] for message in dead}
    assert codes == {letter.body.decode(): letter.code for letter in kept}
    assert set(codes.values()) == {"invalid_json", "invalid_request", "unknown_type", "unknown_field"}


def _poison(number: int) -> str:
    kinds = [
        f"poison {number}",
        json.dumps({"poison": number}),
        json.dumps({"id": f"bad-{number}", "type": "hologram", "data": {}}),
        json.dumps({"id": f"bad-{number}", "type": "note", "data": {"zoom": 1}}),
        json.dumps({"id": f"bad-{number}", "type": "note", "data": {}, "properties": {}}),
    ]
    return kinds[number % len(kinds)]
