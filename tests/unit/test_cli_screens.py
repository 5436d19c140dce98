"""What commands show on terminals of several widths, the overview, and ``--watch``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from consumer.ledger.tables import jobs
from ops.checks.machine import health_port
from ops.cli.console import out
from ops.health import HealthServer
from ops.health_client import installation_id
from ops.ledger_probe import LedgerProbe
from schemas.errors import InputNotFound
from schemas.settings import Settings
from tests.cli_operator import DEAD_WORKER, Operator, an_operator, request

_operator = pytest.fixture(an_operator, name="operator")

UUID = "6f1c2a34-5b7e-4c1d-9a3f-112233445566"
CALLBACK = {"url": "https://shop.example/hooks/media"}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that makes stdout a terminal of a width."""

    def of_width(columns: int) -> None:
        monkeypatch.setattr(out, "_force_terminal", True)
        monkeypatch.setattr(out, "_width", columns)

    return of_width


def fill(operator: Operator) -> None:
    """Fill the ledger: completed, failed, running and waiting jobs, callbacks and dead letters."""
    operator.completed(UUID, priority="high")
    operator.receive("failed-1", callback=CALLBACK)
    operator.fail(operator.start("failed-1"), InputNotFound("s3://inbox/cover.jpg does not exist"))
    operator.receive("order-2026-11-30-000001")
    operator.start("order-2026-11-30-000001")
    operator.receive("waiting-1")
    operator.arrive(b'{"nonsense', json.dumps({"id": "bad-1", "type": "reel", "data": {}}).encode())


@pytest.mark.parametrize("columns", [50, 80, 120])
@pytest.mark.parametrize(
    ("command", "whole"),
    [
        (("list",), [UUID, "order-2026-11-30-000001", "completed", "STATE"]),
        (("status",), ["input_not_found", "LAST HOUR", "24 HOURS", "dead letters"]),
        (("providers",), ["cococlip", "elevenlabs", "PROVIDER", "THIS MONTH", "0/20"]),
        (("models",), ["clip-interrogator/local", "imagine-text-to-video", "MODEL"]),
        (("models", "wan25fast"), ["negative_prompt", "PARAMETER", "720p·1080p (720p)"]),
        (("dead-letters", "list"), ["missing_field", "invalid_json", "REASON"]),
        (("callbacks", "list"), ["failed-1", "job.failed", "pending"]),
        (("doctor",), ["dead letters", "CHECK", "storage"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_no_name_is_broken_and_no_line_is_too_long_friction_m17(
    command: tuple[str, ...], whole: list[str], columns: int, operator: Operator, terminal: Callable[[int], None]
) -> None:
    fill(operator)
    terminal(columns)
    lines = operator.run(*command).out.splitlines()
    assert max(map(len, lines)) <= columns
    assert [word for word in whole if not any(word in line for line in lines)] == []


def test_models_are_one_line_each_friction_m17(operator: Operator, terminal: Callable[[int], None]) -> None:
    catalogue = operator.run("models", "--json").json
    for columns in (50, 80, 120):
        terminal(columns)
        assert len(operator.run("models").out.splitlines()) == len(catalogue) + 1


@pytest.mark.parametrize("name", ["wan25fast", "WAN25FAST"])
def test_one_model_is_shown_with_its_parameters_friction_m17(name: str, operator: Operator) -> None:
    assert "resolution" in operator.run("models", name).out
    assert operator.run("models", name, "--json").json["id"] == "wan25fast"


def test_a_misspelt_model_gets_a_suggestion(operator: Operator) -> None:
    result = operator.run("models", "wan25fats")
    assert (result.status, "did you mean wan25fast?" in result.err) == (1, True)


def test_status_without_an_id_is_an_overview_friction_m18(operator: Operator) -> None:
    fill(operator)
    operator.receive("crashed-1")
    operator.start("crashed-1", owner=DEAD_WORKER)
    operator.receive("later-1")
    database = operator.database()
    with database.write() as connection:
        change = sa.update(jobs).where(jobs.c.id == "later-1")
        connection.execute(change.values(state="waiting", not_before=time.time() + 600, received_at=time.time() - 300))
    database.close()
    found = operator.run("status", "--json").json
    assert (found["running"], found["waiting"]) == (1, 3)
    assert found["waiting_for"] == {"a worker with role render": 2, "the next attempt": 1}
    assert 300 <= found["oldest_open_seconds"] < 400
    assert found["completed"] == {"last_hour": 1, "last_day": 1}
    assert found["ended"] == [{"state": "failed", "code": "input_not_found", "last_hour": 1, "last_day": 1}]
    assert found["callbacks"] == {"pending": 1}
    assert found["dead_letters"] == {"invalid_json": 1, "missing_field": 1}
    assert (found["unknown_outcomes"], found["health"]) == (0, None)
    text = operator.run("status").out
    assert text.startswith("1 running, 3 waiting, the oldest for 5 min")
    assert len(text.splitlines()) <= 24


def test_an_error_of_yesterday_counts_for_the_day_only_friction_m18(operator: Operator) -> None:
    fill(operator)
    database = operator.database()
    with database.write() as connection:
        connection.execute(sa.update(jobs).where(jobs.c.id == "failed-1").values(finished_at=time.time() - 7200))
    database.close()
    assert [(one["last_hour"], one["last_day"]) for one in operator.run("status", "--json").json["ended"]] == [(0, 1)]


def test_the_overview_of_a_new_installation_is_calm(operator: Operator) -> None:
    result = operator.run("status")
    assert result.out.startswith("No job is running or waiting.")
    assert not operator.home.exists()


class Seconds:
    """Replaces the pauses of ``--watch`` by changes of the ledger, and presses Ctrl-C after the last one."""

    def __init__(self, *changes: Callable[[], object]) -> None:
        self._changes = list(changes)

    def sleep(self, seconds: float) -> None:
        if not self._changes:
            raise KeyboardInterrupt
        self._changes.pop(0)()


def watched(monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], object]) -> None:
    monkeypatch.setattr("ops.cli.watch.time", SimpleNamespace(sleep=Seconds(*changes).sleep))


def nothing() -> None:
    """Change nothing."""


@pytest.mark.parametrize("command", ["list", "status"])
def test_watch_without_a_terminal_prints_once_per_change_friction_m18(
    command: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.receive("order-1")
    watched(monkeypatch, nothing, lambda: operator.receive("order-2"), nothing, nothing)
    result = operator.run(command, "--watch", "--json")
    assert result.status == 0
    first, second = (json.loads(line) for line in result.out.splitlines())
    if command == "list":
        assert [len(first), len(second)] == [1, 2]
    else:
        assert [first["waiting"], second["waiting"]] == [1, 2]


def test_watch_of_a_job_ends_with_the_job_friction_m18(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.receive("order-1")
    watched(monkeypatch, nothing, lambda: operator.complete(operator.start("order-1")))
    result = operator.run("status", "order-1", "--watch", "--json")
    assert [json.loads(line)["status"] for line in result.out.splitlines()] == ["received", "completed"]


def test_watch_on_a_terminal_draws_the_screen_again_friction_m18(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, terminal: Callable[[int], None]
) -> None:
    watched(monkeypatch, lambda: operator.receive("order-1"))
    terminal(80)
    result = operator.run("list", "--watch")
    assert result.status == 0
    assert "order-1" in result.out
    assert "Ctrl-C ends" in result.out


def test_ctrl_c_ends_a_watch_with_status_0_and_no_traceback_friction_m18(operator: Operator) -> None:
    operator.receive("order-1")
    command = [sys.executable, "-m", "ops.cli.main", "list", "--watch"]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"JOB")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, b"")


def serving(operator: Operator, installation: str, monkeypatch: pytest.MonkeyPatch) -> HealthServer:
    server = HealthServer("127.0.0.1", 0, LedgerProbe(operator.database()), installation=installation)
    server.start()
    monkeypatch.setenv("TELECINE_HEALTH_PORT", server.url.rpartition(":")[2])
    return server


def test_a_telecine_with_another_ledger_on_the_port_is_not_taken_for_this_one_friction_low(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving(operator, "another", monkeypatch)
    try:
        finding = health_port(Settings())
        assert (finding.verdict, finding.found.startswith("another Telecine")) == ("warn", True)
        assert operator.run("status", "--json").json["health"] is None
        assert "with another ledger answers at 127.0.0.1:" in " ".join(operator.run("status").out.split())
    finally:
        server.stop()


def test_this_telecine_on_the_port_is_recognised(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving(operator, installation_id(operator.settings), monkeypatch)
    try:
        assert health_port(Settings()).verdict == "ok"
        found: Any = operator.run("status", "--json").json
        assert (found["health"]["status"], found["workers"]) == ("healthy", "in the running `telecine up`")
    finally:
        server.stop()


@pytest.mark.parametrize("waiting", ["request", "job"])
def test_doctor_counts_what_waits_without_a_running_telecine_friction_m13(waiting: str, operator: Operator) -> None:
    if waiting == "request":
        operator.settings.inbox_folder.mkdir(parents=True)
        (operator.settings.inbox_folder / "a.json").write_bytes(request("order-1"))
    else:
        operator.receive("order-1")
    result = operator.run("doctor", "--json")
    checks = {check["check"]: check for check in result.json["checks"]}
    assert checks["workers"]["verdict"] == "warn"
    assert f"none; waiting without one: 1 {waiting}" in checks["workers"]["found"]
    assert "telecine up" in checks["workers"]["advice"]
