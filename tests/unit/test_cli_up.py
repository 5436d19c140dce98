"""``telecine up`` as a process: start-up message, orderly shutdown and start-up errors."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.ledger.queries import find_job
from consumer.ledger.states import State
from ops.cli import main
from tests.telecine_process import TelecineProcess, wait_until


@pytest.fixture
def telecine(tmp_path: Path) -> Iterator[TelecineProcess]:
    with TelecineProcess(tmp_path / "data", notes=True) as process:
        yield process


def logged(telecine: TelecineProcess, text: str) -> bool:
    return telecine.log.exists() and text in telecine.log.read_text()


def wait_for_state(telecine: TelecineProcess, state: State) -> None:
    """Read the job from the ledger; a separate command would take as long as the job itself."""
    database = telecine.database()
    wait_until(lambda: (job := find_job(database, "n-1")) is not None and job.state is state)
    database.close()


def test_sigterm_ends_it_with_status_0_and_a_pipe_gets_no_banner(telecine: TelecineProcess) -> None:
    telecine.start()
    wait_until(lambda: logged(telecine, '"started"'), what=lambda: telecine.log.read_text())
    assert telecine.stop() == 0
    assert "Ctrl-C" not in telecine.log.read_text()


def test_a_job_running_at_sigterm_is_finished_first(telecine: TelecineProcess) -> None:
    telecine.start()
    telecine.submit({"id": "n-1", "type": "note", "data": {"seconds": 8}})
    wait_for_state(telecine, State.RUNNING)
    assert telecine.stop() == 0
    assert b'"status": "completed"' in telecine.run("status", "n-1", "--json").stdout


def test_a_second_signal_does_not_wait(telecine: TelecineProcess) -> None:
    telecine.start()
    telecine.submit({"id": "n-1", "type": "note", "data": {"seconds": 60}})
    wait_for_state(telecine, State.RUNNING)
    assert telecine._process is not None
    telecine._process.send_signal(signal.SIGINT)
    wait_until(lambda: logged(telecine, '"stopping"'))  # two signals sent at the same time would arrive as one
    telecine._process.send_signal(signal.SIGINT)
    assert telecine._process.wait(15) == 130


def test_a_health_port_in_use_is_one_line_and_status_1(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with TelecineProcess(tmp_path / "data", health_port=taken.getsockname()[1]) as telecine:
            done = telecine.run("up", check=False)
    assert done.returncode == 1
    assert b"TELECINE_HEALTH_PORT" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_part_or_role_is_named(telecine: TelecineProcess) -> None:
    done = telecine.run("up", "--only", "doors,windows", check=False)
    assert done.returncode == 1
    assert b"unknown part windows; available: doors, sweep, calls, outbox, worker" in done.stderr
    assert b"needs TELECINE_BROKER_URL" in telecine.run("worker", check=False).stderr


def test_a_closed_pipe_does_not_print_a_traceback() -> None:
    command = f"{sys.executable} -m ops.cli.main schema reel | head -c 10"
    piped = subprocess.run(["bash", "-c", command], capture_output=True, cwd=Path(__file__).parents[2], check=False)
    assert piped.stderr == b""


def test_a_home_that_cannot_be_written_is_one_line_friction_m4(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with TelecineProcess(tmp_path / "data") as process:
        process.environment["TELECINE_HOME"] = str(tmp_path / "file" / "data")
        done = process.run("up", check=False)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    found = json.loads(line)  # this process has JSON logs
    assert (found["event"], found["code"]) == ("not_started", "configuration")
    assert found["reason"].startswith(f"{tmp_path}/file")
    assert "cannot be written" in found["reason"]


def test_a_scratch_folder_that_cannot_be_written_is_found_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with TelecineProcess(tmp_path / "data", scratch=tmp_path / "file" / "scratch") as process:
        done = process.run("up", check=False)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert json.loads(line)["code"] == "configuration"
    assert f"the scratch folder {tmp_path}/file/scratch cannot be written" in json.loads(line)["reason"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES], ids=lambda number: f"M4-{number}")
def test_a_fault_of_the_disk_names_the_file_and_what_to_do(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/srv/telecine-data")

    monkeypatch.setattr("consumer.logs.configure", fail)
    result = CliRunner().invoke(main.app, ["list"])
    assert result.exit_code == 1
    assert f"/srv/telecine-data cannot be written: {os.strerror(number)}; make its folder writable" in result.stderr


def test_a_full_disk_is_one_line_even_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("consumer.logs.configure", fail)
    result = CliRunner().invoke(main.app, ["list"])
    assert result.exit_code == 1
    assert "the disk is full: No space left on device; make room" in result.stderr


def test_an_error_without_a_file_stays_a_traceback_friction_m4(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not of a file")

    monkeypatch.setattr("consumer.logs.configure", fail)
    assert isinstance(CliRunner().invoke(main.app, ["list"]).exception, PermissionError)


def test_a_second_up_on_the_same_folder_is_refused_and_a_killed_one_is_not_friction_low(
    telecine: TelecineProcess,
) -> None:
    telecine.start()
    wait_until(lambda: logged(telecine, '"started"'), what=lambda: telecine.log.read_text())
    second = telecine.run("up", check=False)
    assert second.returncode == 1
    assert f"uses {telecine.home}; stop it first".encode() in second.stderr
    assert b"Traceback" not in second.stderr
    telecine.kill()
    telecine.start()
    wait_until(lambda: telecine.log.read_text().count('"started"') == 2, what=lambda: telecine.log.read_text())
