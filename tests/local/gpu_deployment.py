"""Local models as in production: RabbitMQ, PostgreSQL, S3, `telecine up` for the doors, and one `telecine worker`."""

from __future__ import annotations

import contextlib
import json
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pika

from consumer.ledger.database import Database
from consumer.ledger.queries import find_job, timeline_of
from consumer.ledger.records import Job
from consumer.ledger.states import State
from tests.acceptance.line import SECRET, objects_below
from tests.chaos.evidence import check_callback_once, check_finished_once
from tests.receiver import Receiver
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ, publish
from tests.servers.s3 import S3
from tests.telecine_process import TelecineProcess, wait_until

#: An image that takes a tenth of a second.
PICTURE = {"model": "segmind/tiny-sd", "prompt": "a fox", "width": 64, "height": 64, "num_inference_steps": 10}
FILM = {"num_frames": 8, "width": 256, "height": 256, "fps": 12, "lawful_use_consent": True}


class GpuDeployment:
    """One deployment. ``worker`` is a separate process, which a test may kill."""

    def __init__(
        self,
        home: Path,
        rabbitmq: RabbitMQ,
        postgres: Postgres,
        s3: S3,
        receiver: Receiver,
        entries: Sequence[Mapping[str, Any]],
        **settings: object,
    ) -> None:
        self.rabbitmq, self.s3, self.receiver = rabbitmq, s3, receiver
        self.bucket = f"gpu-{uuid.uuid4().hex[:12]}"
        s3.client().create_bucket(Bucket=self.bucket)
        self.queue = f"gpu-{uuid.uuid4().hex[:12]}-requests"
        #: Arms the failpoint it names, as long as the file exists.
        self.armed = home / "armed"
        chosen = {
            "broker_url": rabbitmq.url,
            "amqp_queues": self.queue,
            "ledger_url": postgres.create_database(),
            "storage": "s3",
            "s3_endpoint_url": s3.url,
            "s3_region": s3.region,
            "output": f"s3://{self.bucket}/results/",
            "callback_secrets": json.dumps({"default": [SECRET]}),
            "models": json.dumps(entries),
            "local_device": "cpu",
            "local_threads": 1,
            "failpoint_file": self.armed,
            **settings,
        }
        self.port = free_port()
        self.up = TelecineProcess(home, notes=True, **chosen)
        self.worker = TelecineProcess(home, notes=True, **{**chosen, "health_port": self.port})
        for process in (self.up, self.worker):
            process.environment |= {**s3.environment, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self.worker.log = home / "worker.log"

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator[GpuDeployment]:
        """Run `telecine up` with the options; by default everything except a worker."""
        with self.up, self.worker:
            self.up.start(arguments=("up", *(options or ("--only", "doors,sweep,calls,outbox"))))
            self.database: Database = self.up.database()
            try:
                yield self
            finally:
                self.database.close()

    def start_worker(self) -> None:
        """Start the worker for local models."""
        self.worker.start(arguments=("worker", "--role", "gpu"))

    def publish(self, *requests: Mapping[str, Any]) -> None:
        """Publish requests as plain JSON and wait for the confirms."""
        connection = pika.BlockingConnection(pika.URLParameters(self.rabbitmq.url))
        try:
            wait_until(lambda: self._declared(connection), what=lambda: self.up.log.read_text()[-2000:])
            publish(connection, self.queue, [json.dumps(request).encode() for request in requests])
        finally:
            connection.close()

    def submit(self, job_id: str, kind: str, data: Mapping[str, Any], **fields: Any) -> None:
        """Publish one request, with the receiver as its callback URL."""
        callback = {"url": self.receiver.url}
        self.publish({"id": job_id, "type": kind, "data": data, "callback": callback, **fields})

    def wait_for_end(self, job_id: str) -> Job:
        """Wait until the job has ended; return it."""
        return self.worker.wait_for_job(job_id)

    def result(self, job_id: str) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Return files and manifest of the job; check that it completed once with one correctly signed callback."""
        job = self.wait_for_end(job_id)
        files = objects_below(self.s3, self.bucket, f"results/{job_id}/")
        check_finished_once(self.database, job, files)
        wait_until(lambda: self.callbacks(job_id), what=lambda: f"no callback about {job_id}")
        check_callback_once(self.receiver, job_id, SECRET)
        return files, json.loads(files["manifest.json"])

    def run(self, job_id: str, kind: str, data: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Publish a request; return what ``result`` returns."""
        self.submit(job_id, kind, data)
        return self.result(job_id)

    def callbacks(self, job_id: str) -> list[dict[str, Any]]:
        """Return the callbacks received about the job."""
        bodies = [attempt.json() for attempt in self.receiver.attempts]
        return [body for body in bodies if body["data"]["id"] == job_id]

    def wait_until_generating(self, job_id: str) -> None:
        """Wait until the model is working on the job."""
        wait_until(
            lambda: (
                (job := find_job(self.database, job_id)) is not None and job.state is State.RUNNING and job.progress > 5
            ),
            what=lambda: f"{find_job(self.database, job_id)} {self.worker.log.read_text()[-2000:]}",
        )

    def workers(self, job_id: str) -> list[int]:
        """Return the process id of each worker that claimed the job."""
        claimed = [entry for entry in timeline_of(self.database, job_id) if entry.event == "claimed"]
        return [int(entry.detail["worker"].rpartition(":")[2]) for entry in claimed]

    def loaded(self) -> list[dict[str, Any]]:
        """Return the worker's loaded models from its health endpoint."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
            return list(json.load(answer)["local"]["loaded"])

    def _declared(self, connection: pika.BlockingConnection) -> bool:
        try:
            connection.channel().queue_declare(self.queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        return True
