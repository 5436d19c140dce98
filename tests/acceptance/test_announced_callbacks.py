"""A callback does not wait for the outbox's next poll, whichever process has queued it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.doors.drop import drop
from tests.acceptance.line import SECRET
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until

NEVER = 3600.0


@contextlib.contextmanager
def embedded(home: Path, **settings: object) -> Iterator[TelecineProcess]:
    with TelecineProcess(home, notes=True, **settings) as telecine:
        yield telecine.start()


@contextlib.contextmanager
def two_machines(home: Path, **settings: object) -> Iterator[TelecineProcess]:
    worker = TelecineProcess(home / "worker", notes=True, **settings)
    with TelecineProcess(home, notes=True, **settings) as front, worker:
        front.start(arguments=("up", "--only", "doors,sweep,outbox"))
        wait_until(lambda: '"started"' in front.log.read_text())
        worker.start(arguments=("worker", "--concurrency", "1"))
        yield front


@pytest.mark.parametrize("way", ["one process", "a worker of telecine up", "two machines"])
def test_a_callback_is_sent_at_once_although_the_outbox_polls_once_an_hour(
    way: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings: dict[str, object] = {
        "outbox_poll_seconds": NEVER,
        "callback_secrets": json.dumps({"default": [SECRET]}),
        "inbox": tmp_path / "inbox",
    }
    if way != "one process":
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        settings |= {"broker_url": rabbitmq.url, "storage": "folder"}
    if way == "two machines":
        settings["ledger_url"] = request.getfixturevalue("postgres_url")
    start = two_machines if way == "two machines" else embedded
    with Receiver() as receiver, start(tmp_path / "home", **settings) as telecine:
        for number in range(3):
            wanted = {"url": receiver.url, "events": ["started", "completed"]}
            job = {"id": f"j-{number}", "type": "note", "data": {"text": "x"}, "callback": wanted}
            drop(tmp_path / "inbox", json.dumps(job).encode())
            attempts = receiver.wait_for(2 * number + 2, timeout=60)
        events = [(attempt.json()["data"]["id"], attempt.json()["type"]) for attempt in attempts]
        assert len(set(events)) == 6
        assert telecine.stop() == 0
