"""Failpoints: every name is used in the code, every use has a known name, and unarmed ones do nothing."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consumer.failpoints import (
    CALL_FAILPOINTS,
    FAILPOINTS,
    FLUSH_FAILPOINTS,
    GROUP_FAILPOINTS,
    LOCAL_FAILPOINTS,
    UPLOAD_FAILPOINTS,
    FailpointReached,
    failpoint,
    local_failpoint,
)

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("consumer", "ops", "pipelines", "providers", "schemas")


def calls() -> set[str]:
    """Return the argument of every call of ``failpoint`` in the code."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "failpoint":
                    assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno} has no literal name"
                    found.add(str(node.args[0].value))
    return found


def test_the_failpoints_of_the_code_are_those_of_the_list() -> None:
    names = [*FAILPOINTS, *GROUP_FAILPOINTS, *FLUSH_FAILPOINTS, *CALL_FAILPOINTS, *UPLOAD_FAILPOINTS, *LOCAL_FAILPOINTS]
    assert calls() == set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", FAILPOINTS)
def test_an_unarmed_failpoint_does_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELECINE_FAILPOINT", raising=False)
    failpoint(name)
    monkeypatch.setenv("TELECINE_FAILPOINT", f"{name}.other:raise")
    failpoint(name)


def test_an_armed_failpoint_raises_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_FAILPOINT", "outbox.sent:raise")
    with pytest.raises(FailpointReached, match=r"^outbox\.sent$"):
        failpoint("outbox.sent")
    failpoint("outbox.recorded")


def test_an_armed_failpoint_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_FAILPOINT", "outbox.sent:sleep=0.05")
    started = time.monotonic()
    failpoint("outbox.sent")
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize("name", LOCAL_FAILPOINTS)
def test_an_armed_failpoint_can_run_out_of_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELECINE_FAILPOINT", f"{name}:memory")
    with pytest.raises(MemoryError, match=name):
        local_failpoint(name.removeprefix("local."))


def test_a_failpoint_armed_once_does_nothing_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELECINE_FAILPOINT", "outbox.sent:raise")
    monkeypatch.setenv("TELECINE_FAILPOINT_ONCE", str(tmp_path / "met"))
    failpoint("outbox.recorded")
    assert not (tmp_path / "met").exists()
    with pytest.raises(FailpointReached):
        failpoint("outbox.sent")
    failpoint("outbox.sent")


def test_failpoints_of_a_running_process_are_armed_and_disarmed_by_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TELECINE_FAILPOINT", raising=False)
    monkeypatch.setenv("TELECINE_FAILPOINT_FILE", str(tmp_path / "armed"))
    failpoint("outbox.sent")
    for lines in ("outbox.sent:raise", f"outbox.sent:raise\n{tmp_path / 'met'}\n"):
        (tmp_path / "armed").write_text(lines)
        with pytest.raises(FailpointReached):
            failpoint("outbox.sent")
        failpoint("outbox.recorded")
    failpoint("outbox.sent")
    (tmp_path / "met").unlink()
    (tmp_path / "armed").unlink()
    failpoint("outbox.sent")


@pytest.mark.parametrize("armed", ["door.committed:kill", "door.committed"])
def test_a_kill_runs_no_handler(armed: str) -> None:
    code = "import atexit; atexit.register(print, 'ended'); from consumer.failpoints import failpoint\n"
    code += "try: failpoint('door.committed')\nfinally: print('cleaned up')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"TELECINE_FAILPOINT": armed}, cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
