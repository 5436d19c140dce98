"""Two tenants on one Telecine over RabbitMQ, each with its own queue and folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import amqp
from kombu import Connection

from consumer.doors.amqp import declare
from consumer.ledger import dead_letters
from consumer.ledger.queries import find_job, list_jobs
from consumer.ledger.states import State
from tests.receiver import Receiver
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until

PICTURE = Path(__file__).parents[2].joinpath("ops/demo/cover.jpg").read_bytes()


def tenant(name: str, queue: str) -> dict[str, Any]:
    return {
        "read": [f"s3://inbox/{name}/"],
        "write": [f"s3://results/{name}/"],
        "output": f"s3://results/{name}/",
        "queues": [queue],
    }


def test_each_tenant_has_its_own_queue_folders_and_priority_and_cannot_use_others(
    rabbitmq: RabbitMQ, queue_prefix: str, tmp_path: Path
) -> None:
    acme, sibling = f"{queue_prefix}acme", f"{queue_prefix}acme-2"
    settings = {
        "broker_url": rabbitmq.url,
        "amqp_queues": f"{acme},{sibling}",
        "storage": "folder",
        "tenants": json.dumps({"acme": tenant("acme", acme), "acme-2": tenant("acme-2", sibling)}),
        "queue_priorities": json.dumps({acme: "high"}),
        "callback_secrets": json.dumps({"default": ["whsec_" + "A" * 32]}),
    }
    with (
        TelecineProcess(tmp_path / "home", notes=True, **settings) as process,
        Receiver() as receiver,
        Connection(rabbitmq.url) as connection,
    ):
        storage = process.settings.storage_folder
        for name in ("acme", "acme-2"):
            (storage / "inbox" / name).mkdir(parents=True)
            (storage / "inbox" / name / "cover.jpg").write_bytes(PICTURE)
        channel: Any = connection.channel()
        declare(channel, [acme, sibling], delivery_limit=20)

        def send(queue: str, job_id: str, image: str, **fields: Any) -> None:
            value = {"id": job_id, "type": "note", "data": {"text": job_id, "image": image}, **fields}
            value["callback"] = {"url": receiver.url}
            channel.basic_publish(amqp.Message(json.dumps(value).encode(), delivery_mode=2), "", queue)

        send(acme, "own", "s3://inbox/acme/cover.jpg")
        send(sibling, "own-2", "s3://inbox/acme-2/cover.jpg", tenant="acme-2")
        send(acme, "sibling", "s3://inbox/acme-2/cover.jpg")
        send(acme, "claims", "s3://inbox/acme-2/cover.jpg", tenant="acme-2")
        send(acme, "writes", "s3://inbox/acme/cover.jpg", output="s3://results/acme-2/")
        process.start()
        for job_id, name, priority in (("own", "acme", "high"), ("own-2", "acme-2", "normal")):
            job = process.wait_for_job(job_id)
            assert (job.state, job.tenant, job.priority) == (State.COMPLETED, name, priority)
            assert (storage / "results" / name / job_id / "note.txt").read_text() == job_id
        database = process.database()
        wait_until(lambda: len(dead_letters.list_newest(database, limit=9)) == 3)
        letters = {letter.request_id: letter for letter in dead_letters.list_newest(database, limit=9)}
        assert {job_id: letter.code for job_id, letter in letters.items()} == dict.fromkeys(
            ("sibling", "claims", "writes"), "tenant_forbidden"
        )
        assert {letter.source for letter in letters.values()} == {acme}
        assert len(list_jobs(database)) == 2
        wait_until(lambda: len({attempt.json()["data"]["id"] for attempt in receiver.attempts}) == 5)
        callbacks = {attempt.json()["data"]["id"]: attempt.json()["data"] for attempt in receiver.attempts}
        assert {job_id: data["status"] for job_id, data in callbacks.items()} == {
            "own": "completed",
            "own-2": "completed",
            "sibling": "failed",
            "claims": "failed",
            "writes": "failed",
        }
        assert callbacks["sibling"]["error"]["field"] == "data.image"

        # Only its own tenant can cancel a running job.
        channel.basic_publish(amqp.Message(b'{"type": "job.cancel", "data": {"id": "own"}}'), "", sibling)
        wait_until(lambda: len(dead_letters.list_newest(database, limit=9)) == 4)
        assert dead_letters.list_newest(database, limit=1)[0].code == "job_not_found"
        found = find_job(database, "own")
        assert found is not None
        assert not found.cancel_requested
        assert "acme" in process.run("status", "own").stdout.decode()
        database.close()
