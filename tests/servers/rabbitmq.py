"""A RabbitMQ node for the tests that can be stopped, killed and restarted with its data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from pika import BasicProperties, BlockingConnection
from pika.exceptions import NackError

from tests.servers.hosts import Host
from tests.servers.ports import answers, free_port
from tests.servers.process import end, program, spawn, wait_until

#: The real programs: Debian's wrappers in /usr/sbin change the user.
_PROGRAMS = "/usr/lib/rabbitmq/bin"
_PERSISTENT = BasicProperties(content_type="application/json", delivery_mode=2)


class RabbitMQ:
    """A node. ``start`` after ``stop`` or ``kill`` restores its queues and persistent messages."""

    def __init__(self, host: Host | None = None) -> None:
        self._enter = host.enter() if host else []
        self._address = host.address if host else "127.0.0.1"
        self._server = program("rabbitmq-server", _PROGRAMS)
        self._ctl = program("rabbitmqctl", _PROGRAMS)
        self._epmd_program = program("epmd")
        self._folder = Path(tempfile.mkdtemp(prefix="telecine-rabbitmq-"))
        self.port = free_port()
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._log = self._folder / "out"
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._configure()

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"amqp://guest:guest@{self._address}:{self.port}/%2F"

    def start(self) -> None:
        """Start the node and wait until it accepts AMQP."""
        if self._epmd is None:
            # Start epmd here: one that the node starts would outlive it.
            command = [*self._enter, self._epmd_program, "-port", str(self._epmd_port), "-address", self._address]
            self._epmd = spawn(command, self._log, environment=self._environment())
            wait_until(lambda: answers(self._epmd_port, self._address), "epmd", self._log)
        self._process = spawn([*self._enter, self._server], self._log, environment=self._environment())
        wait_until(lambda: _speaks_amqp(self.port, self._address), "RabbitMQ", self._log)

    def stop(self) -> None:
        """Shut the node down cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the node without a clean shutdown.

        Quorum queues must be some seconds old: RabbitMQ 3.10 saves its list of quorum queues only every half second,
        and a queue that is missing from the list refuses every message after the restart.
        """
        self._end(signal.SIGKILL)

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` and return its output."""
        command = [*self._enter, self._ctl, "--quiet", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def read(self, queue: str, vhost: str = "/") -> bool:
        """Return whether the queue has a consumer; a consumer has also declared and bound it."""
        return queue in self.ctl("list_consumers", "-p", vhost, "queue_name").split()

    def close(self) -> None:
        """Stop the node and delete its data."""
        self.kill()
        if self._epmd is not None:
            end(self._epmd, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, how)
            self._process = None

    def _configure(self) -> None:
        for name in ("log", "mnesia"):
            (self._folder / name).mkdir()
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = {self._address}:{self.port}\nloopback_users = none\n"
        )
        (self._folder / "enabled_plugins").write_text("[].")
        (self._folder / "env.conf").touch()

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            # With this variable the script execs the node, so that its process id is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
            # A private home folder has a private Erlang cookie.
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"telecine{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": self._address,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_BASE": folder,
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": f"{folder}/log/rabbit.log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_SCHEMA_DIR": f"{folder}/schema",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
        }


def publish(connection: BlockingConnection, queue: str, bodies: Iterable[bytes]) -> None:
    """Publish with confirms, and again what the broker refuses: a new quorum queue has no leader for a moment."""
    channel = connection.channel()
    channel.confirm_delivery()
    for body in bodies:
        for _ in range(100):
            with contextlib.suppress(NackError):
                channel.basic_publish("", queue, body, _PERSISTENT, mandatory=True)
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"RabbitMQ refused a message for {queue} a hundred times")


def _speaks_amqp(port: int, address: str) -> bool:
    """Return whether the node answers an AMQP header; its port opens before it is ready."""
    try:
        with socket.create_connection((address, port), 0.5) as connection:
            connection.settimeout(2)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(8)[:1] == b"\x01"
    except OSError:
        return False
