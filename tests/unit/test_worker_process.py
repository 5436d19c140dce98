"""The workers that ``telecine up`` runs with a broker, and their names."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery.worker import state
from sqlalchemy.exc import OperationalError

from consumer import app as consumer_app
from consumer.app import app
from consumer.ledger.due import Wake
from consumer.wakeups.connection import WorkerConnection
from consumer.worker import run_worker, worker_arguments
from ops import worker_process
from ops.worker_process import WorkerProcess, worker_environment, worker_processes
from pipelines.media.sandbox import process as media_process
from tests.codebase import ROOT
from tests.telecine_process import wait_until


@pytest.mark.parametrize(
    ("roles", "workers"),
    [
        (["io", "render"], {"worker": ("io", "render")}),
        (["gpu"], {"worker-gpu": ("gpu",)}),
        (["io", "render", "gpu"], {"worker": ("io", "render"), "worker-gpu": ("gpu",)}),
    ],
)
def test_local_models_have_a_worker_of_their_own(roles: list[str], workers: dict[str, tuple[str, ...]]) -> None:
    made = worker_processes(roles, lambda: None)
    assert {item.name: item.loop.roles for item in made if isinstance(item.loop, WorkerProcess)} == workers


def test_a_gpu_worker_does_one_job_at_a_time_in_its_own_process() -> None:
    arguments = worker_arguments(["gpu"], concurrency=4)
    assert {"--pool=threads", "--concurrency=1"} <= set(arguments)
    assert {"--pool=prefork", "--concurrency=4"} <= set(worker_arguments(["render"], concurrency=4))


def test_workers_of_one_machine_have_different_names() -> None:
    (first,) = (item for item in worker_arguments(["io", "gpu"], concurrency=1) if item.startswith("--hostname="))
    assert first.removeprefix("--hostname=").startswith("io-gpu-")
    assert "--hostname=mine@%h" in worker_arguments(["gpu"], concurrency=1, name="mine")


@pytest.mark.parametrize(("asked", "status"), [(None, None), (0, None), (1, 1)])
def test_a_worker_that_stopped_by_itself_exits_with_status_one(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, status: int | None
) -> None:
    monkeypatch.setattr(app, "worker_main", lambda arguments: None)
    monkeypatch.setattr(state, "should_stop", asked)
    code = None
    try:
        run_worker(["render"], concurrency=1)
    except SystemExit as ended:
        code = ended.code
    assert code == status


def test_its_module_path_is_that_of_this_process_attack_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/extensions")
    assert worker_environment()["PYTHONPATH"] == f"{ROOT}:/extensions"
    monkeypatch.delenv("PYTHONPATH")
    assert worker_environment()["PYTHONPATH"] == str(ROOT)


@pytest.mark.parametrize("child", ["worker", "media"])
@pytest.mark.parametrize("module", ["decimal", "typing", "colorsys"])
def test_an_installed_package_never_replaces_a_module_of_the_standard_library_attack_5(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, child: str, module: str
) -> None:
    (tmp_path / f"{module}.py").write_text("raise SystemExit(9)\n")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for owner in (worker_process, media_process):
        monkeypatch.setattr(owner, "_ROOT", str(tmp_path))
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(tmp_path)])
    environment = worker_environment() if child == "worker" else media_process._environment(tmp_path)
    assert subprocess.run([sys.executable, "-P", "-c", f"import {module}"], env=environment).returncode == 0


@pytest.mark.parametrize(
    ("code", "connected"),
    [
        ("os.write(fd, b'1')", True),
        ("os.write(fd, b'10')", False),
        ("os.write(fd, b'101')", True),
        ("", False),
    ],
    ids=["H5-connected", "H5-lost", "H5-connected again", "H5-never connected"],
)
def test_it_knows_whether_its_worker_is_connected(monkeypatch: pytest.MonkeyPatch, code: str, connected: bool) -> None:
    with _running(monkeypatch, f"import os, sys, time; fd = int(sys.argv[1]); {code}; time.sleep(60)") as process:
        if connected:
            wait_until(lambda: process.connected, timeout=20)
        else:
            assert not threading.Event().wait(1)
        assert process.connected == connected
        assert not process.keeps_exiting


def test_a_worker_that_keeps_exiting_is_reported_attack_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_RESTART_SECONDS", 0.01)
    with _running(monkeypatch, "raise SystemExit(3)") as process:
        wait_until(lambda: process.keeps_exiting, timeout=30)
        assert not process.connected


def test_a_worker_that_runs_long_enough_between_its_exits_is_not_reported_attack_5(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_process, "_RESTART_SECONDS", 0.01)
    monkeypatch.setattr(worker_process, "_STABLE_SECONDS", 0.0)
    with _running(monkeypatch, "import time; time.sleep(0.5)") as process:
        assert not threading.Event().wait(5)
        assert not process.keeps_exiting


def test_a_connection_reports_each_change_and_survives_a_closed_pipe() -> None:
    connection = WorkerConnection()
    read, write = os.pipe()
    connection.report_to(write, callbacks=True)
    connection.change(connected=True)
    connection.change(connected=False)
    assert os.read(read, 10) == b"10"
    os.close(read)
    connection.change(connected=True)
    assert connection.connected
    os.close(write)


@contextmanager
def _running(monkeypatch: pytest.MonkeyPatch, code: str) -> Iterator[WorkerProcess]:
    """Run a ``WorkerProcess`` whose worker is a line of Python."""

    def command(roles: Sequence[str], status_fd: int, *, report_callbacks: bool) -> list[str]:
        return [sys.executable, "-c", code, str(status_fd)]

    monkeypatch.setattr(worker_process, "worker_command", command)
    process = WorkerProcess(["render"])
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        yield process
    finally:
        process.stop()
        thread.join(30)


def test_a_wake_up_goes_back_to_its_queue_if_the_ledger_stays_unavailable_attack_7(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Wake] = []
    tries: list[str] = []

    def unavailable(job_id: str) -> None:
        tries.append(job_id)
        raise OperationalError("", {}, OSError("connection refused"))

    monkeypatch.setattr(consumer_app, "_LEDGER_SECONDS", 0.5)
    monkeypatch.setattr(consumer_app, "_advance_due", unavailable)
    monkeypatch.setattr(consumer_app, "WakeUps", lambda app: sent.extend)
    for queue in ("telecine.render.high", "celery"):  # the second is no queue of ours: the sweep wakes the job
        consumer_app.advance.push_request(delivery_info={"routing_key": queue})
        consumer_app.advance("j")
        consumer_app.advance.pop_request()
    assert sent == [Wake("j", "render", "high")]
    assert len(tries) > 4

    def broken(job_id: str) -> None:
        raise ValueError

    monkeypatch.setattr(consumer_app, "_advance_due", broken)
    with pytest.raises(ValueError):
        consumer_app.advance("j")
