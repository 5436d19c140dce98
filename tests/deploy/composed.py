"""The services of compose.yaml as processes of this machine: Docker's part, played without Docker.

Commands, settings, secrets and the order of the start come from the file. Host names, ports and folders of containers
are replaced by those of private servers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import yaml

from tests.deploy.manifests import DEPLOY, settings_file
from tests.fault_proxy import Fault, FaultProxy
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.s3 import S3Server
from tests.telecine_process import ROOT, wait_until

COMPOSE = DEPLOY / "compose" / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
#: Those that run Telecine's image.
OURS = {name for name, service in SERVICES.items() if "build" in service}
for name in OURS:  # `environment` comes before what the files have
    given, yours = SERVICES[name]["env_file"]
    assert yours == {"path": "settings.env", "required": False}
    SERVICES[name]["environment"] = settings_file(COMPOSE.parent / given) | SERVICES[name]["environment"]


class Composed:
    """An installation as ``docker compose up`` makes it, in a copy of the folder. A context manager."""

    def __init__(self, folder: Path, rabbitmq: RabbitMQ, postgres: Postgres, s3: S3Server) -> None:
        self.folder = folder / "ops" / "deploy" / "compose"
        shutil.copytree(COMPOSE.parent, self.folder, ignore=shutil.ignore_patterns("secrets"))
        (folder / "ops" / "demo").symlink_to(ROOT / "ops" / "demo")
        self._rabbitmq, self._postgres, self._s3 = rabbitmq, postgres, s3
        self.broker = FaultProxy(rabbitmq.port)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: list[subprocess.Popen[str]] = []
        self._health = {name: free_port() for name in OURS}
        self.receiver_port = free_port()
        self._moved = {
            "s3.localhost:8333": s3.url.removeprefix("http://"),
            "localhost:8000": f"127.0.0.1:{free_port()}",
            "localhost:8078": f"127.0.0.1:{free_port()}",
            "127.0.0.1:8099": f"127.0.0.1:{self.receiver_port}",
            "/run/secrets/": f"{self.folder}/secrets/",
        }

    def moved(self, text: str) -> str:
        """Replace the addresses and folders of containers in a command or a value."""
        for old, new in self._moved.items():
            text = text.replace(old, new)
        return text

    def prepare_servers(self) -> None:
        """Give the private servers the accounts of ``make-secrets.sh``, and the secrets their addresses."""
        self._moved["@rabbitmq:5672/%2F"] = f"@127.0.0.1:{self.broker.port}/{(vhost := self.folder.parents[2].name)}"
        self._moved["@postgres:5432/telecine"] = f"@{self._postgres.create_database().rpartition('@')[2]}"
        user, password = (line.partition(" = ")[2] for line in self.secret("rabbitmq.conf").splitlines())
        for command in (("add_vhost", vhost), ("delete_user", user), ("add_user", user, password)):
            with contextlib.suppress(RuntimeError):
                self._rabbitmq.ctl(*command)
        self._rabbitmq.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
        self._own_database(self.moved(self.secret("ledger-url")).strip())
        for name in ("broker-url", "ledger-url"):
            path = self.folder / "secrets" / name
            path.chmod(0o600)
            path.write_text(self.moved(path.read_text()))

    def secret(self, name: str) -> str:
        """Return the content of a secret."""
        return (self.folder / "secrets" / name).read_text()

    def up(self) -> None:
        """Start every service without a profile in the order of ``depends_on``, and wait until all are healthy."""
        waiting = {name for name in OURS if "profiles" not in SERVICES[name]}
        done = set(SERVICES) - OURS
        while waiting:
            ready = [name for name in waiting if SERVICES[name]["depends_on"].keys() <= done]
            assert ready, f"{waiting} wait for one another"
            for name in sorted(ready):
                self.start(name)
            for name in ready:
                if SERVICES[name]["restart"] == "on-failure":
                    assert self._processes[name].wait(60) == 0, self.log(name)
            waiting -= set(ready)
            done |= set(ready)
        for name, process in self._processes.items():
            if process.poll() is None:
                self._wait_until_ready(name)

    def start(self, name: str) -> None:
        """Start a service, unless it runs."""
        if name not in self._processes:
            with self._log(name).open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    self._command(name),
                    cwd=self._home(name),
                    env=self.environment(name),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def execute(self, service: str, *command: str) -> subprocess.Popen[str]:
        """Start a command in the container of a service: ``docker compose exec``."""
        assert self._processes[service].poll() is None
        assert command[0] == "telecine"
        arguments = [sys.executable, "-m", "ops.cli.main", *command[1:]]
        if command[1] == "receive":
            arguments += ["--port", str(self.receiver_port)]
        process = subprocess.Popen(
            arguments,
            cwd=self._home(service),
            env=self.environment(service),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._commands.append(process)
        return process

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service's processes: the image's and the file's."""
        home = str(self._home(name))
        image = {"TELECINE_HOME": home, "TELECINE_LOG_FORMAT": "json", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        ports = {
            "TELECINE_HEALTH_PORT": str(self._health[name]),
            "TELECINE_EDGE_PORT": self._moved["localhost:8000"].rpartition(":")[2],
            "TELECINE_DASHBOARD_PORT": self._moved["localhost:8078"].rpartition(":")[2],
        }
        own = {key: self.moved(str(value)) for key, value in SERVICES[name]["environment"].items()}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": home, **image, **ports, **own}

    def _wait_until_ready(self, name: str) -> None:
        wait_until(lambda: self.health(name, "ready")[0] == 200, what=lambda: self.log(name))

    def health(self, name: str, page: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a page of the health port; 0 if nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health[name]}/{page}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def log(self, name: str) -> str:
        """Return the end of a service's log."""
        return self._log(name).read_text(errors="replace")[-3000:]

    def _log(self, name: str) -> Path:
        return self._home(name).with_suffix(".log")

    def _home(self, name: str) -> Path:
        home = self.folder.parents[2] / name
        home.mkdir(exist_ok=True)
        return home

    def _command(self, name: str) -> list[str]:
        command = [str(word) for word in SERVICES[name]["command"]]
        if SERVICES[name].get("entrypoint") == ["python", "-c"]:
            return [sys.executable, "-c", *command]
        assert "entrypoint" not in SERVICES[name]
        return [sys.executable, "-m", "ops.cli.main", *command]

    def _own_database(self, url: str) -> None:
        """Make the account of the URL the owner of its database."""
        user, name = url.partition("://")[2].partition(":")[0], url.rpartition("/")[2]
        with psycopg.connect(f"host=127.0.0.1 port={self._postgres.port} user=postgres", autocommit=True) as connection:
            with contextlib.suppress(psycopg.errors.DuplicateObject):
                connection.execute(f"CREATE ROLE {user} LOGIN")
            connection.execute(f"ALTER DATABASE {name} OWNER TO {user}")

    def __enter__(self) -> Self:
        self.broker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        started: list[subprocess.Popen[Any]] = [*self._processes.values(), *self._commands]
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
        self.broker.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def broker_down(self) -> Iterator[None]:
        """While this lasts, RabbitMQ is not there."""
        self.broker.fault = Fault(refuse=True)
        try:
            yield
        finally:
            self.broker.fault = Fault()
