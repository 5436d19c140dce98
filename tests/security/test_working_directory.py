"""No code of the working directory runs, whatever its files are called (attack 5, friction H6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.codebase import ROOT
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Telecine's packages, Celery's settings in each of the ways in which Celery looks for them, and what these import.
PACKAGES = ("consumer", "ops", "pipelines", "providers", "schemas")
MODULES = ("celeryconfig", "telecine_celeryconfig", "sitecustomize", "kombu", "sqlalchemy", "json", "decimal", "mine")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory in which every module leaves a trace when it is imported."""
    folder = tmp_path / "here"
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        _trap(folder / name / "__init__.py")
    for name in MODULES:
        _trap(folder / f"{name}.py")
    return folder


@pytest.mark.parametrize("mode", ["embedded", "broker"])
def test_telecine_up_runs_no_code_of_the_working_directory_attack_5(
    mode: str, hostile: Path, request: pytest.FixtureRequest
) -> None:
    broker = {}
    if mode == "broker":
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        broker = {
            "TELECINE_BROKER_URL": rabbitmq.url,
            "TELECINE_AMQP_QUEUES": f"test-{uuid.uuid4().hex[:12]}",
            "TELECINE_STORAGE": "folder",
            "TELECINE_CALLBACK_SECRETS": f'{{"default": ["{SECRET}"]}}',
        }
    with _up(hostile, broker) as log:
        wait_until(lambda: _connected(hostile), timeout=60, what=log.read_text)
        assert _traces(hostile) == []
        assert "worker_process_exited" not in log.read_text()


@pytest.mark.parametrize(
    "environment",
    [
        {"CELERY_CONFIG_MODULE": "celeryconfig"},
        {"DJANGO_SETTINGS_MODULE": "mine.settings"},
        {"CELERY_LOADER": "mine"},
        {"TELECINE_BROKER_URL": "amqp://127.0.0.1:1//"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_celery_takes_its_settings_from_the_installed_file_attack_5(hostile: Path, environment: dict[str, str]) -> None:
    code = "from consumer.app import app; print(app.conf.task_default_exchange, app.conf.worker_consumer)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=hostile, env=_environment(environment), capture_output=True, text=True
    )
    assert done.stdout.split() == ["telecine", "consumer.wakeups.celery_consumer:WakeUpConsumer"], done.stderr
    assert _traces(hostile) == []


def _trap(path: Path) -> None:
    path.write_text(f"open({str(path.with_suffix('.trace'))!r}, 'w').close()\nraise SystemExit(9)\n")


def _traces(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.trace"))


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TELECINE_", "SENTRY_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def _up(folder: Path, more: Mapping[str, str]) -> Iterator[Path]:
    """Run ``telecine up`` as the installed command does: without the working directory in the path."""
    log = folder.parent / "up.log"
    environment = _environment({"TELECINE_HEALTH_PORT": "0", "TELECINE_LOG_FORMAT": "json", **more})
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ops.cli.main", "up"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(60)


def _connected(folder: Path) -> bool:
    return '"worker": "ok"' in _health(folder.parent / "up.log")


def _health(log: Path) -> str:
    for line in log.read_text().splitlines():
        if line.startswith("{") and (url := json.loads(line).get("health")):
            try:
                with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
                    return str(answer.read().decode())
            except (urllib.error.HTTPError, OSError):
                return ""
    return ""
