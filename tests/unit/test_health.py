"""``/health``, ``/ready`` and ``/live`` respond in time in every state of the process."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from consumer.ledger.database import Database
from consumer.ledger.schema import migrate
from consumer.service import Named, Service
from consumer.storage.base import StoredObject
from consumer.storage.memory import MemoryStorage
from ops import health as module, storage_health
from ops.checks.ledger import ledger
from ops.cli import main
from ops.health import HealthServer
from ops.ledger_probe import LedgerProbe, LedgerUnavailable
from ops.storage_health import StorageHealth
from schemas.errors import ConfigurationError, InputForbidden, InputUnavailable
from schemas.settings import Settings
from tests.telecine_process import wait_until


class Part:
    """A loop that only waits until it is stopped or made to fail."""

    def __init__(self, *, connected: bool = True, keeps_exiting: bool = False) -> None:
        self.connected = connected
        self.keeps_exiting = keeps_exiting
        self._stopped = threading.Event()

    def run(self) -> None:
        self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    migrate(made)
    yield made
    made.close()


@contextmanager
def serving(probe: LedgerProbe, part: Part | None = None) -> Iterator[HealthServer]:
    service = Service([Named("door-amqp", part or Part())])
    service.start()
    server = HealthServer("127.0.0.1", 0, probe, service)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        service.stop()


def get(server: HealthServer, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(server.url + path, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def timed(server: HealthServer, path: str) -> tuple[float, tuple[int, Any]]:
    started = time.monotonic()
    answer = get(server, path)
    return time.monotonic() - started, answer


def hang(*_: object) -> float:
    time.sleep(30)
    return 0.0


def test_everything_is_healthy(database: Database) -> None:
    with serving(LedgerProbe(database)) as server:
        assert get(server, "/health") == (200, {"status": "healthy", "checks": {"ledger": "ok", "door-amqp": "ok"}})
        assert get(server, "/ready")[0] == 200
        assert get(server, "/live")[0] == 200


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_ledger_that_refuses_writes_is_not_ready_friction_H5(
    dialect: str, database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby server after a failover answers every query, but no job is admitted and none runs."""
    if dialect == "sqlite":
        monkeypatch.setattr("os.access", lambda *_: False)  # as on a read-only disk, also for root
    else:
        database = Database(request.getfixturevalue("postgres_url"))
        migrate(database)
        with database.write() as connection:
            name = database.url.database
            connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        database.close()
    with serving(LedgerProbe(database)) as server:
        status, report = get(server, "/ready")
        assert (status, report["checks"]["ledger"]) == (503, "read-only")
        assert get(server, "/live")[0] == 200
        metrics = server.respond("/metrics")[2].decode()
        assert "telecine_ledger_up 0.0" in metrics
        assert "telecine_oldest_open_job_seconds 0.0" in metrics
    database.close()
    finding = ledger(Settings(ledger_url=database.url.render_as_string(hide_password=False)))
    assert (finding.verdict, "is read-only" in finding.found) == ("fail", True)


def test_an_unreachable_broker_makes_it_degraded_and_not_ready(database: Database) -> None:
    with serving(LedgerProbe(database), Part(connected=False)) as server:
        status, report = get(server, "/health")
        assert (status, report["status"]) == (200, "degraded")
        assert report["checks"]["door-amqp"] == "not connected"
        assert get(server, "/ready")[0] == 503
        assert get(server, "/live")[0] == 200


def test_an_exited_part_makes_it_unhealthy_and_not_live(database: Database) -> None:
    part = Part()
    with serving(LedgerProbe(database), part) as server:
        part.stop()
        wait_until(lambda: get(server, "/health")[0] == 503)
        assert get(server, "/live")[0] == 503


def test_a_part_that_keeps_exiting_makes_it_unhealthy_and_not_live_attack_5(database: Database) -> None:
    with serving(LedgerProbe(database), Part(connected=False, keeps_exiting=True)) as server:
        assert get(server, "/live") == (503, {"status": "unhealthy"})
        status, report = get(server, "/health")
        assert (status, report["checks"]["door-amqp"]) == (503, "keeps exiting")


def test_a_worker_without_a_connection_is_not_ready_friction_h5(database: Database) -> None:
    connected = threading.Event()
    server = HealthServer("127.0.0.1", 0, LedgerProbe(database), connections={"worker": connected.is_set})
    server.start()
    try:
        assert get(server, "/ready")[0] == 503
        assert get(server, "/health")[1] == {
            "status": "degraded",
            "checks": {"ledger": "ok", "worker": "not connected"},
        }
        assert 'telecine_part_up{part="worker"} 0.0' in server.respond("/metrics")[2].decode()
        connected.set()
        assert get(server, "/ready")[0] == 200
        assert 'telecine_part_up{part="worker"} 1.0' in server.respond("/metrics")[2].decode()
    finally:
        server.stop()


def test_a_missing_ledger_makes_it_unhealthy_but_still_live(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with serving(LedgerProbe(empty)) as server:
        status, report = get(server, "/health")
        assert (status, report["checks"]["ledger"]) == (503, "OperationalError")
        assert get(server, "/live")[0] == 200
    empty.close()


def test_it_answers_within_two_seconds_while_the_ledger_hangs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "oldest_open_seconds", hang)
    monkeypatch.setattr(module, "take_snapshot", hang)
    with serving(LedgerProbe(database)) as server:
        longest: list[float] = []
        for _ in range(4):
            # More requests than the probe has threads: no request may wait for another one.
            with ThreadPoolExecutor(7) as many:
                asked = [many.submit(timed, server, "/health") for _ in range(6)]
                metrics = many.submit(urllib.request.urlopen, server.url + "/metrics", timeout=20)
            answers = [future.result() for future in asked]
            for _, (status, report) in answers:
                assert (status, report["checks"]["ledger"]) == (503, "no answer")
            with metrics.result() as answer:
                assert b"telecine_ledger_up 0.0" in answer.read()
            longest.append(max(seconds for seconds, _ in answers))
            if longest[-1] < 2:
                break
        # The machine itself may stall occasionally.
        assert longest[-1] < 2, longest


def test_the_health_command_is_for_supervisors(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part()
    with serving(LedgerProbe(database), part) as server:
        monkeypatch.setenv("TELECINE_HEALTH_PORT", server.url.rpartition(":")[2])
        run = CliRunner().invoke
        healthy = run(main.app, ["health", "--ready"])
        assert (healthy.exit_code, healthy.stdout) == (0, "healthy\n")
        part.connected = False
        degraded = run(main.app, ["health"])
        assert (degraded.exit_code, degraded.stdout) == (0, "degraded  door-amqp: not connected\n")
        assert run(main.app, ["health", "--ready"]).exit_code == 1
        part.stop()
        wait_until(lambda: run(main.app, ["health"]).exit_code == 1)
        assert json.loads(run(main.app, ["health", "--json"]).stdout)["status"] == "unhealthy"
    silent = run(main.app, ["health"])
    assert (silent.exit_code, silent.stdout) == (1, "")
    assert "No Telecine answers at 127.0.0.1:" in silent.stderr


def test_metrics_are_served_as_text(database: Database) -> None:
    with serving(LedgerProbe(database)) as server, urllib.request.urlopen(server.url + "/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b'telecine_part_up{part="door-amqp"} 1.0' in answer.read()


def test_head_and_unknown_paths_are_answered(database: Database) -> None:
    with serving(LedgerProbe(database)) as server:
        head = urllib.request.Request(server.url + "/health", method="HEAD")
        with urllib.request.urlopen(head, timeout=5) as answer:
            assert answer.read() == b""
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url + "/etc/passwd", timeout=5)
        assert refused.value.code == 404
        refused.value.close()


def test_a_port_in_use_is_a_configuration_error_with_advice(database: Database) -> None:
    with serving(LedgerProbe(database)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match="TELECINE_HEALTH_PORT"):
            HealthServer("127.0.0.1", port, LedgerProbe(database))


def test_a_probe_reports_the_type_of_an_error_and_keeps_working(database: Database) -> None:
    probe = LedgerProbe(database, close_after=True)

    def fall_over(_: Database) -> int:
        raise RuntimeError("with a secret")

    for _ in range(10):
        with pytest.raises(LedgerUnavailable, match=r"^RuntimeError$"):
            probe.query(fall_over, seconds=1)
    assert probe.query(lambda _: 7, seconds=1) == 7


class _Refusing(MemoryStorage):
    error: Exception | None = None

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        if self.error is not None:
            raise self.error
        return super().head(uri, version)


@pytest.mark.parametrize(
    ("error", "ready"),
    [
        (InputUnavailable("the credentials are wrong (InvalidAccessKeyId)", outage=True), False),
        (OSError("unforeseen"), False),
        (InputForbidden("may not be read (AccessDenied)"), True),
        (None, True),
    ],
    ids=["credentials", "unforeseen", "denied", "fine"],
)
def test_the_storage_decides_about_ready_but_not_about_live_friction_H3(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception | None, ready: bool
) -> None:
    monkeypatch.setattr(storage_health, "FRESH_SECONDS", 0.0)
    store = _Refusing()
    server = HealthServer("127.0.0.1", 0, LedgerProbe(database), storage=StorageHealth(store, "s3://results/"))
    try:
        store.error = error
        answers = {path: server.respond(path) for path in ("/ready", "/health", "/live")}
        assert [answers[path][0] for path in answers] == [200 if ready else 503, 200, 200]
        assert f"telecine_storage_up {float(ready)}" in server.respond("/metrics")[2].decode()
        if isinstance(error, InputUnavailable):
            assert b"InvalidAccessKeyId" in answers["/ready"][2]
        store.error = None
        server.respond("/ready")
        time.sleep(0.05)
        assert server.respond("/ready")[0] == 200
    finally:
        server.stop()
