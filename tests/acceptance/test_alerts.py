"""A real Prometheus scrapes a real Telecine: each alert fires when its fault is made and stops when it is mended.

So does the dashboard: every panel's query has an answer while jobs run.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from consumer.ledger import deletion, pauses
from consumer.ledger.completion import request_cancel
from consumer.ledger.database import Database, db_now
from consumer.ledger.dead_letters import pending_numbers
from consumer.ledger.outbox import replay
from consumer.ledger.pauses import PauseKind
from consumer.ledger.queries import delivery_ids
from consumer.ledger.tables import accounts, calls, deliveries, jobs
from tests.cli_operator import REEL
from tests.receiver import Receiver
from tests.servers.ministack import Ministack
from tests.servers.ports import free_port
from tests.servers.prometheus import RANGE, RULES, Prometheus
from tests.servers.s3 import endpoint
from tests.servers.sqs import make_queue
from tests.telecine_process import ROOT, TelecineProcess, wait_until

GRAFANA = ROOT / "ops/deploy/grafana/telecine.json"
#: They need a GPU; the test of GPU workers has one.
_NEEDS_GPU = {"GPU memory in use"}
#: It needs S3, and the results are in a folder here: rules_test.yml.
_NEEDS_S3 = {"TelecineStorageDown"}


class OtherVersion(HTTPServer):
    """A process of another version, of which only the version matters."""

    version = "0.0.9"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Info)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Info(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, OtherVersion)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(f'telecine_info{{version="{self.server.version}"}} 1\n'.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a file system of a megabyte; yield whether that is allowed here."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)


class Scene:
    """Telecine with all parts, and what is wrong with it."""

    def __init__(self, folder: Path, receiver: Receiver, aws_port: int) -> None:
        self.port = free_port()
        #: Of a receiver that does not run.
        self.closed_port = free_port()
        self.receiver = receiver
        keys = {"AWS_ACCESS_KEY_ID": Ministack.access_key, "AWS_SECRET_ACCESS_KEY": Ministack.secret_key}
        self.telecine = TelecineProcess(
            folder / "home",
            notes=True,
            health_port=self.port,
            scratch=folder / "scratch",
            sqs_queues="requests",
            sqs_endpoint_url=f"http://127.0.0.1:{aws_port}",
            sqs_region="us-east-1",
            sqs_wait_seconds=1,
            storage="folder",
            callback_schedule_seconds="0.1",
            callback_secrets=json.dumps({"default": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}),
            budgets=json.dumps({"acme": {"usd": 50}}),
            max_failures=1,
        )
        self.telecine.environment |= keys
        self.count = 0

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Database]:
        database = Database(self.telecine.settings.ledger)
        try:
            yield database
        finally:
            database.close()

    def send(self, **request: Any) -> str:
        self.count += 1
        body = {"id": f"job-{self.count}", **request}
        inbox = self.telecine.settings.inbox_folder
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / f".{self.count}").write_text(json.dumps(body))
        (inbox / f".{self.count}").rename(inbox / f"{self.count}.json")
        return str(body["id"])

    def work(self) -> None:
        """Send a job that completes and one that fails, each with a callback."""
        callback = {"url": self.receiver.url}
        self.send(type="note", data={"text": "x"}, callback=callback)
        self.send(type="reel", data=REEL, callback=callback)


def break_it(scene: Scene) -> None:
    """Make every fault that the ledger shows."""
    for _ in range(7):
        scene.send(type="reel", data=REEL, callback={"url": f"http://127.0.0.1:{scene.closed_port}/"})
    (scene.telecine.settings.inbox_folder / "junk.json").write_text("{")
    with scene.ledger() as database:
        pauses.pause(database, PauseKind.TYPE, "text-to-image", by="test")
        now = database.now()
        call = {"job_id": "", "step": "s", "attempt": 1, "provider": "pika", "model": "m", "request": "{}"}
        with database.write() as connection:
            connection.execute(
                sa.insert(calls).values(id="u", state="unknown", queued_at=now, submitted_at=now, **call)
            )
            spent = {"tenant": "acme", "reserved": 40_000_000}
            connection.execute(
                sa.insert(calls).values(id="b", state="working", queued_at=now, submitted_at=now, **call, **spent)
            )
            connection.execute(sa.insert(accounts).values(provider="pika", breaker="open", open_until=now + 900))
            connection.execute(sa.insert(jobs), [_stuck("stuck", now), _stuck("slow", now)])
            ended = {"state": "completed", "finished_at": now, "wake_at": None}
            connection.execute(sa.update(jobs).where(jobs.c.id == "slow").values(ended))
            rows = [_callback(f"late-{number}", now) for number in range(101)]
            connection.execute(sa.insert(deliveries), rows)


def _stuck(job_id: str, now: float) -> dict[str, Any]:
    """Return a job of an hour ago, of a role that no worker serves."""
    times = dict.fromkeys(("received_at", "started_at", "not_before"), now - 4000)
    row = {
        "id": job_id,
        "type": "reel",
        "state": "received",
        "role": "other",
        "priority": "normal",
        "wake_at": now + 60,
    }
    return row | times | {"fingerprint": "f", "request": '{"id": "x", "type": "reel", "data": {}}', "door": "inbox"}


def _callback(name: str, now: float) -> dict[str, Any]:
    row = {"id": name, "event": "job.failed", "url": "https://a.example", "body": b"{}", "state": "retrying"}
    return row | {"created_at": now, "due_at": now + 900}


def crash_a_few_times(scene: Scene) -> None:
    with scene.ledger() as database, database.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "stuck").values(crashes=jobs.c.crashes + 1))


def end_a_call(scene: Scene) -> None:
    scene.count += 1
    now = time.time()
    row = {"id": f"call-{scene.count}", "job_id": "", "step": "s", "attempt": 1, "provider": "pika", "model": "m"}
    row |= {"request": "{}", "state": "working", "queued_at": now, "submitted_at": now}
    with scene.ledger() as database, database.write() as connection:
        connection.execute(sa.insert(calls).values(row))
        done = {"state": "done", "finished_at": now + 3, "spent": 450_000}
        connection.execute(sa.update(calls).where(calls.c.id == row["id"]).values(done))


def mend_it(scene: Scene) -> None:
    """Do what the runbooks say."""
    with scene.ledger() as database:
        replay(database, [*delivery_ids(database, state="exhausted"), *delivery_ids(database, state="disabled")])
        pauses.resume(database, PauseKind.TYPE, "text-to-image")
        deletion.delete_dead_letters(database, pending_numbers(database))
        request_cancel(database, "stuck", by="test")
        with database.write() as connection:
            ended = {"state": "cancelled", "finished_at": db_now(), "reserved": 0}
            connection.execute(sa.update(calls).where(calls.c.id.in_(["u", "b"])).values(ended))
            connection.execute(sa.update(accounts).values(breaker="closed"))
            connection.execute(sa.delete(deliveries).where(deliveries.c.id.like("late-%")))


def rename_pauses(scene: Scene, old: str, new: str) -> None:
    """Take a table away from all queries, as a database does that is broken."""
    with scene.ledger() as database, database.write() as connection:
        connection.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}"))


def alerts() -> set[str]:
    return {rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]} - _NEEDS_S3


def panels() -> dict[str, list[str]]:
    found = json.loads(GRAFANA.read_text())["panels"]
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in found if "targets" in panel}


class Watch:
    """Waits for alerts while jobs run."""

    def __init__(self, scene: Scene, prometheus: Prometheus) -> None:
        self._scene = scene
        self._prometheus = prometheus
        self._next = 0.0
        self.seen: set[str] = set()

    def work(self) -> None:
        """Send some jobs, not faster than they are done."""
        if time.monotonic() > self._next:
            self._next = time.monotonic() + 0.4
            self._scene.work()

    def work_with_providers(self) -> None:
        self.work()
        end_a_call(self._scene)

    def until_firing(self, *names: str, then: Callable[[], None] = lambda: None) -> None:
        self._until(lambda firing: set(names) <= self.seen, "not seen", set(names), then)

    def until_quiet(self, *names: str) -> None:
        self._until(lambda firing: not firing & set(names), "still firing", set(), lambda: None)

    def _until(self, done: Callable[[set[str]], bool], what: str, names: set[str], then: Callable[[], None]) -> None:
        def probe() -> bool:
            then()
            firing = self._prometheus.firing()
            self.seen |= firing
            return done(firing)

        def state() -> str:
            log = self._scene.telecine.log
            tail = log.read_text()[-2000:] if log.exists() else ""
            return f"{what}: {sorted(names - self.seen or self._prometheus.firing())}\n{tail}"

        wait_until(probe, timeout=60, what=state)


def check_panels(prometheus: Prometheus, work: Callable[[], object]) -> None:
    """Check that each query has a number. What is asked for with an hour's range has one too."""
    missing = {(title, query) for title, queries in panels().items() for query in queries if title not in _NEEDS_GPU}

    def all_answer() -> bool:
        work()
        for title, query in sorted(missing):
            if any(not math.isnan(value) for value in prometheus.query(query.replace("$__rate_interval", RANGE))):
                missing.remove((title, query))
        return not missing

    wait_until(all_answer, timeout=30, what=lambda: f"no answer: {sorted(missing)}")


def test_every_alert_fires_and_stops_and_every_panel_has_an_answer(tmp_path: Path) -> None:
    aws, other = Ministack(), OtherVersion()
    with contextlib.ExitStack() as stack:
        mounted = stack.enter_context(small_disk(tmp_path / "scratch"))
        receiver = stack.enter_context(Receiver())
        scene = Scene(tmp_path, receiver, aws.port)
        stack.callback(aws.close)
        stack.callback(other.close)
        prometheus = Prometheus([f"127.0.0.1:{scene.port}", f"127.0.0.1:{other.server_address[1]}"])
        stack.callback(prometheus.close)
        prometheus.start()
        watch = Watch(scene, prometheus)

        watch.until_firing("TelecineAbsent", "TelecineTargetDown", "TelecinePartMissing")
        stack.enter_context(scene.telecine)
        scene.telecine.start()
        watch.until_quiet("TelecineAbsent", "TelecineTargetDown", "TelecinePartMissing")
        watch.until_firing("TelecinePartDown", "TelecineBrokerDown", "TelecineVersionsDiffer")

        break_it(scene)
        if mounted:
            (tmp_path / "scratch" / "large").write_bytes(b"x" * 1_000_000)
            watch.until_firing("TelecineDiskFull")
            (tmp_path / "scratch" / "large").unlink()
        else:
            watch.seen.add("TelecineDiskFull")

        def work_and_crash() -> None:
            watch.work()
            crash_a_few_times(scene)

        watch.until_firing("TelecineWorkersDie", then=work_and_crash)
        watch.until_firing(*alerts() - {"TelecineLedgerDown"}, then=watch.work)
        check_panels(prometheus, watch.work_with_providers)
        rename_pauses(scene, "pauses", "hidden")
        watch.until_firing("TelecineLedgerDown")
        rename_pauses(scene, "hidden", "pauses")
        assert alerts() <= watch.seen

        aws.start()
        make_queue(endpoint("ministack", aws), "requests")
        other.version = version("telecine")
        stack.enter_context(Receiver(port=scene.closed_port))
        mend_it(scene)
        watch.until_quiet(*alerts())
