"""A rolling upgrade and a rollback: two versions of Telecine on one ledger, with jobs running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pika
import pytest

from consumer.ledger.database import Database
from consumer.ledger.schema import HEAD, ledger_version
from tests.ledger_views import count_jobs
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ, publish
from tests.telecine_process import TelecineProcess, wait_until

SECRETS = '{"default": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}'
JOBS = 15


@pytest.mark.timeout(300)
def test_every_job_runs_once_through_a_rolling_upgrade_and_a_rollback_friction_h8(
    rabbitmq: RabbitMQ, postgres: Postgres, queue_prefix: str, tmp_path: Path
) -> None:
    queue, runs = f"{queue_prefix}requests", tmp_path / "runs"
    settings: dict[str, Any] = {
        "broker_url": rabbitmq.url,
        "amqp_queues": queue,
        "callback_secrets": SECRETS,
        "storage": "folder",
        "storage_folder": tmp_path / "storage",
        "ledger_url": postgres.create_database(),
    }
    old = TelecineProcess(tmp_path / "old", notes=True, **settings)
    new = TelecineProcess(tmp_path / "new", **settings, extensions="tests.note_pipeline,tests.newer_schema")
    expected = 0

    def send_more() -> None:
        nonlocal expected
        data = {"seconds": 0.2, "ledger_of_runs": str(runs)}
        requests = [{"id": f"n-{number}", "type": "note", "data": data} for number in range(expected, expected + JOBS)]
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
            publish(connection, queue, [json.dumps(request).encode() for request in requests])
        expected += JOBS

    def all_completed() -> bool:
        return count_jobs(database) == {"completed": expected}

    def logs() -> str:
        return f"{count_jobs(database)}\n{old.log.read_text()[-3000:]}\n{new.log.read_text()[-3000:]}"

    with old, new:
        old.start()
        wait_until(lambda: rabbitmq.read(queue))
        database = Database(settings["ledger_url"])
        send_more()
        wait_until(lambda: count_jobs(database).get("completed", 0) > 2, what=logs)
        # The new version reads the old ledger and does not change it; its services wait for the migration.
        assert b"n-0" in new.run("list", "--limit", "100").stdout
        assert new.start().wait_for_death() == 1
        assert "run `telecine migrate`" in new.log.read_text()
        assert new.run("migrate", "--check", check=False).returncode == 1
        assert ledger_version(database) == HEAD
        assert b"9001" in new.run("migrate").stdout
        assert ledger_version(database) == "9001"
        new.start()
        wait_until(lambda: "worker" in new.log.read_text() and rabbitmq.read(queue))
        send_more()
        wait_until(all_completed, timeout=90, what=logs)
        # Rollback: the new version goes, and the old one starts on the newer ledger.
        send_more()
        assert new.stop() == 0
        assert old.stop() == 0
        old.start()
        send_more()
        wait_until(all_completed, timeout=90, what=logs)
        assert b"n-0" in old.run("list", "--limit", "500").stdout
        assert b"which can use it" in old.run("doctor", check=False).stdout
        database.close()
    lines = runs.read_text().splitlines()
    # A job that a stop interrupted runs again, and nothing else does.
    assert expected <= len(lines) <= expected + 4
    assert len(set(lines)) >= 4  # processes of both versions
