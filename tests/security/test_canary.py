"""No secret that Telecine is configured with may appear in anything that it writes.

A real process has a broker, a database and object storage, each with a secret in its address or keys. Its jobs
succeed, fail, hit a bug in their pipeline or become dead letters. A fake Sentry records the reports that it gets.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import pytest
import sqlalchemy as sa

from consumer.doors.publish import publish
from consumer.ledger import dead_letters
from consumer.ledger.tables import metadata
from tests.receiver import Receiver
from tests.security.servers import Listener
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import TelecineProcess, wait_until
from tests.traces import Collector

CANARIES = {
    name: f"canary{name.replace(' ', '')}{uuid.uuid4().hex}"
    for name in (
        "callback secret",
        "broker password",
        "ledger password",
        "storage key",
        "sentry key",
        "presigned query",
        "authorization in metadata",
    )
}
SIGNING = "whsec_" + base64.b64encode(CANARIES["callback secret"].encode()).decode()

#: A job type with a bug that puts secrets into its exception.
DEFECT = """
import os
from pipelines.registry import PIPELINES, Pipeline
from schemas.job_types import JOB_TYPES
from tests.note_pipeline import Note, plan

def defect(data, ctx):
    token = os.environ["CANARY_IN_LOCALS"]
    raise RuntimeError(f"cannot reach {os.environ['CANARY_URL']} or {os.environ['TELECINE_BROKER_URL']}")

JOB_TYPES["defect"] = Note
PIPELINES["defect"] = Pipeline(run=defect, plan=plan, role="render")
"""


class FakeSentry:
    """A server that records every envelope that the Sentry SDK sends, uncompressed."""

    def __init__(self) -> None:
        self.envelopes: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.envelopes.append(body.decode())
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def dsn(self) -> str:
        """The DSN of this server."""
        return f"http://{CANARIES['sentry key']}@127.0.0.1:{self._server.server_address[1]}/1"

    def events(self) -> list[dict[str, Any]]:
        """Return the error reports."""
        found = []
        for envelope in list(self.envelopes):
            lines = [json.loads(line) for line in envelope.splitlines()]
            found += [body for head, body in zip(lines[1::2], lines[2::2], strict=True) if head["type"] == "event"]
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


def extension(folder: Path) -> dict[str, str]:
    """Return environment variables that load the faulty job type into Telecine."""
    (folder / "faulty_pipeline.py").write_text(DEFECT)
    return {
        "PYTHONPATH": str(folder),
        "TELECINE_EXTENSIONS": "tests.note_pipeline,faulty_pipeline",
        "CANARY_IN_LOCALS": CANARIES["storage key"],
        "CANARY_URL": f"https://bucket.example/a?X-Amz-Signature={CANARIES['presigned query']}",
        "TELECINE_BROKER_URL": f"amqp://canary:{CANARIES['broker password']}@mq.example//",
    }


@pytest.fixture(scope="module")
def evidence(
    rabbitmq: RabbitMQ, postgres: Postgres, ministack: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Yield everything that Telecine wrote while its jobs ran, by place."""
    password, queue = CANARIES["broker password"], f"test-{uuid.uuid4().hex[:12]}"
    rabbitmq.ctl("add_user", "canary", password)
    rabbitmq.ctl("set_permissions", "canary", ".*", ".*", ".*")
    broker = f"amqp://canary:{password}@127.0.0.1:{rabbitmq.port}/%2F"
    home = tmp_path_factory.mktemp("telecine")
    missing = Listener(b"HTTP/1.1 404 Not Found\r\n\r\n")
    with Receiver() as receiver, FakeSentry() as sentry, missing as web, Collector() as collector:
        process = TelecineProcess(
            home,
            broker_url=broker,
            amqp_queues=queue,
            max_failures=2,
            log_level="DEBUG",
            ledger_url=postgres.create_database().replace("postgres@", f"postgres:{CANARIES['ledger password']}@"),
            callback_secrets=json.dumps({"default": [SIGNING]}),
            storage="s3",
            s3_endpoint_url=ministack.url,
            s3_region="us-east-1",
            output="s3://canary-results/",
        )
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": CANARIES["storage key"], "SENTRY_DSN": sentry.dsn}
        environment = extension(home) | keys | {"TELECINE_BROKER_URL": broker, "AWS_DEFAULT_REGION": "us-east-1"}
        environment |= collector.environment
        process.environment |= environment
        _client(ministack).create_bucket(Bucket="canary-results")
        with process.start():
            found = _collect(process, queue, broker, receiver, sentry, web)
            yield found | {"traces": "\n".join(map(str, collector.spans))}
    rabbitmq.ctl("delete_user", "canary")


def _client(ministack: Any) -> Any:
    from tests.servers.s3 import endpoint

    return endpoint("ministack", ministack).client()


def _collect(
    process: TelecineProcess, queue: str, broker: str, receiver: Receiver, sentry: FakeSentry, web: Listener
) -> dict[str, str]:
    presigned = f"http://{web.host}/c.jpg?X-Amz-Signature={CANARIES['presigned query']}"
    common = {
        "callback": {"url": receiver.url},
        "metadata": {"Authorization": f"Bearer {CANARIES['authorization in metadata']}"},
    }
    reel = {"image": presigned, "audio": presigned, "lyrics": "La", "alignment_mode": "even"}
    requests = [
        {"id": "ok", "type": "note", "data": {"text": "fine"}},
        {"id": "failing", "type": "reel", "data": reel},
        {"id": "unreachable", "type": "reel", "data": reel | {"image": presigned.replace(str(web.port), "1")}},
        {"id": "nothing-there", "type": "reel", "data": reel | {"image": "s3://canary-results/none"}},
        {"id": "defect", "type": "defect", "data": {}},
        {"id": "refused", "type": "reel", "data": reel | {"zoom": 1}},
        {"id": "refused-2", "type": "reel", "data": reel | {"image": presigned.replace("//", "//user:pw@")}},
        {"id": "refused-3", "type": "note", "data": {}, "callback": {"url": presigned.replace("127.0.0", "10.0.0")}},
    ]
    publish(broker, queue, [json.dumps(common | request).encode() for request in requests], delivery_limit=20)
    states = {name["id"]: process.wait_for_job(str(name["id"])).state.value for name in requests[:5]}
    assert states == {name: "completed" if name == "ok" else "failed" for name in states}
    database = process.database()
    wait_until(lambda: dead_letters.newest_number(database) >= 3)
    receiver.wait_for(7, timeout=30)
    wait_until(sentry.events, what=lambda: process.log.read_text()[-2000:])
    found = {
        "callbacks": "\n".join(f"{attempt.headers}\n{attempt.body.decode()}" for attempt in receiver.attempts),
        "sentry": "\n".join(sentry.envelopes),
    }
    with database.read() as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                values = connection.execute(sa.select(column).where(column.is_not(None))).scalars()
                found[f"{table.name}.{column.name}"] = "\n".join(str(value) for value in values)
    database.close()
    address = re.findall(r'"health": "([^"]+)"', process.log.read_text())[-1]
    for page in ("metrics", "health"):
        with urllib.request.urlopen(f"{address}/{page}", timeout=10) as reply:
            found[page] = reply.read().decode()
    for command in (
        ["explain", "failing"],
        ["explain", "defect"],
        ["status"],
        ["list"],
        ["doctor"],
        ["dead-letters", "list"],
    ):
        done = process.run(*command, check=False)
        found[f"telecine {' '.join(command)}"] = (done.stdout + done.stderr).decode()
    assert process.stop() == 0
    found["log"] = process.log.read_text()
    return found


#: Where a secret may appear: in the stored request, in the callback's metadata, and in requests to Sentry.
ALLOWED = {
    "authorization in metadata": {"jobs.request", "rejections.body", "callbacks", "deliveries.body"},
    "presigned query": {"jobs.request", "rejections.body"},
    "sentry key": {"sentry"},
}


@pytest.mark.parametrize("name", CANARIES)
def test_a_secret_appears_only_where_it_belongs(evidence: dict[str, str], name: str) -> None:
    spellings = {CANARIES[name], base64.b64encode(CANARIES[name].encode()).decode().rstrip("=")}
    places = {place for place, text in evidence.items() if any(spelling in text for spelling in spellings)}
    assert places <= ALLOWED.get(name, set())


def test_the_places_that_are_searched_have_content(evidence: dict[str, str]) -> None:
    for place in (
        "callbacks",
        "sentry",
        "log",
        "metrics",
        "health",
        "traces",
        "timeline.detail",
        "jobs.error",
        "rejections.message",
    ):
        assert evidence[place], place
    assert CANARIES["authorization in metadata"] in evidence["callbacks"]
    assert CANARIES["presigned query"] in evidence["jobs.request"]
    assert "X-Amz-Signature=" in evidence["callbacks"]
    assert "telecine_jobs" in evidence["metrics"]
    assert "RuntimeError" in evidence["sentry"]
    assert "RuntimeError" in evidence["log"]
    assert "RuntimeError while working on the job" in evidence["traces"]


CONNECTIONS = """
import os, sys

def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{arguments[1][0]}:{arguments[1][1]}\\n")

sys.addaudithook(watch)
"""


@pytest.mark.parametrize("watched", [True, False], ids=["with a DSN", "without a DSN"])
def test_a_defect_is_reported_with_its_job_only_if_a_dsn_is_configured(tmp_path: Path, watched: bool) -> None:
    (tmp_path / "sitecustomize.py").write_text(CONNECTIONS)
    connections = tmp_path / "connections"
    connections.touch()
    environment = extension(tmp_path) | {"CONNECTIONS": str(connections)}
    del environment["TELECINE_BROKER_URL"]
    with FakeSentry() as sentry, TelecineProcess(tmp_path / "home", max_failures=1) as process:
        process.environment |= environment | ({"SENTRY_DSN": sentry.dsn} if watched else {})
        process.start()
        process.submit({"id": "order-7", "type": "defect", "data": {}})
        assert process.wait_for_job("order-7").state == "failed"
        if watched:
            (event,) = wait_until(sentry.events, what=process.log.read_text)
            assert event["tags"]["job_id"] == "order-7"
            assert (event["environment"], event["release"]) == ("production", f"telecine@{version('telecine')}")
        assert process.stop() == 0
    # The process has ended, so everything that it sends has been sent.
    assert bool(sentry.envelopes) == watched
    assert bool(connections.read_text()) == watched
