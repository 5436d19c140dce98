"""A PostgreSQL server for the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg

from tests.servers.hosts import Host
from tests.servers.ports import free_port
from tests.servers.process import ServerMissing, end, spawn, wait_until

_OPTIONS = {
    # fsync protects only against a power cut: pages of a killed process are safe in the system's cache.
    # `synchronous_commit` stays on, because without it a kill loses committed transactions.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


class Postgres:
    """A server on which each test creates its own database."""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host
        self._listens = host.address if host else "127.0.0.1"
        self._programs = _newest_programs()
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="telecine-postgres-"))
        if self._user is not None:
            shutil.chown(self._folder, self._user, self._user)
        self.port = free_port()
        self._log = self._folder.parent / f"{self._folder.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; data from an earlier start is kept."""
        data = self._folder / "data"
        if not data.exists():
            self._initialise(data)
        command = [str(self._programs / "postgres"), "-D", str(data), "-p", str(self.port)]
        own = {"listen_addresses": self._listens, "unix_socket_directories": str(self._folder)}
        for name, value in (_OPTIONS | own).items():
            command += ["-c", f"{name}={value}"]
        if self._host is None:
            self._process = spawn(command, self._log, user=self._user, folder=self._folder)
        else:
            self._process = self._host.spawn(command, self._log, user=self._user)
        wait_until(self._answers, "PostgreSQL", self._log)

    def stop(self) -> None:
        """Shut the server down cleanly, disconnecting its clients."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and its child processes."""
        self._end(signal.SIGKILL)

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql+psycopg://postgres@{self._listens}:{self.port}/{name}"

    def close(self) -> None:
        """Stop the server and delete its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._log.unlink(missing_ok=True)

    def _address(self) -> str:
        return f"host={self._listens} port={self.port} user=postgres dbname=postgres connect_timeout=5"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, how)
            self._process = None

    def _initialise(self, data: Path) -> None:
        command = [str(self._programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
        command += ["--no-sync", "--locale=C", "-E", "UTF8"]
        process = spawn(command, self._log, user=self._user, folder=self._folder)
        wait_until(lambda: process.poll() is not None, "initdb", self._log)
        if process.returncode:
            raise RuntimeError(f"initdb failed:\n{self._log.read_text(errors='replace')[-2_000:]}")
        if self._host is not None:
            with (data / "pg_hba.conf").open("a") as access:
                access.write("host all all samenet trust\n")


def _newest_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("postgres")
    if elsewhere is None:
        raise ServerMissing("PostgreSQL is not installed. Run `make test` once: it installs what the tests need.")
    return Path(elsewhere).parent
