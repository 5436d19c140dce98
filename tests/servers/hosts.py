"""Several hosts on this machine: network namespaces on one switch, whose links can be cut and which can be killed.

    with Network() as network:
        a, b = network.host("a"), network.host("b")
        a.spawn(["python3", "-m", "http.server", "--bind", a.address], log)
        a.deaf_to(b)      # drops what b sends to a
        network.heal()
        a.kill()          # its cable first, then all its processes at once
        a.boot()

A host has its own network, process ids, host name and mounts; files are shared. The test itself reaches every host.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.servers.process import program, spawn

ROOT = Path(__file__).resolve().parent.parent.parent
#: ``drop``: packets vanish. ``refuse``: they are answered by a reset.
How = Literal["drop", "refuse"]
_VERDICT = {"drop": "drop", "refuse": "meta l4proto tcp reject with tcp reset"}
_CHAIN = "add table inet faults; add chain inet faults input { type filter hook input priority 0 ; }"


class Host:
    """A host of a network. ``address`` remains the same when it is booted again."""

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name = name
        self.address = f"{network.subnet}.{number}"
        self._network = network
        self._cable = f"cable{number}"
        self._spawned: list[subprocess.Popen[bytes]] = []
        self.boot()

    def boot(self) -> None:
        """Start the host without processes and connect it."""
        options = ["--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        # Programs name their shared memory after their process id, which other hosts have as well.
        script = f"hostname {self.name} && mount -t tmpfs tmpfs /dev/shm && exec sleep infinity"
        self._init, self._pid = unshared([*options, "sh", "-c", script])
        _until(lambda: Path(f"/proc/{self._pid}/comm").read_text() == "sleep\n")
        self._network.connect(self._cable, self._pid)
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{self.address}/24", "dev", "eth0"],
            ["ip", "link", "set", "eth0", "up"],
            ["nft", _CHAIN],
        ):
            self._run(*command)

    def kill(self) -> None:
        """Make the host vanish: no other host receives the end of a connection."""
        self._network.disconnect(self._cable)
        self.end()
        self.wait()

    def end(self) -> None:
        """Kill all processes of the host; the kernel does it at once, as they have a namespace of their own."""
        self._init.kill()

    def wait(self) -> None:
        """Wait until all processes are gone, which takes the kernel up to two seconds."""
        for process in (self._init, *self._spawned):
            process.wait(30)
        self._spawned.clear()
        _until(lambda: not Path(f"/proc/{self._pid}").exists())

    def enter(self, user: str | None = None) -> list[str]:
        """Return the beginning of a command that runs the rest of it on this host."""
        options = ["--net", "--pid", "--uts", "--mount", "--wd"]
        if user is not None:
            entry = pwd.getpwnam(user)
            options += [f"--setuid={entry.pw_uid}", f"--setgid={entry.pw_gid}"]
        return ["nsenter", f"--target={self._pid}", *options, "--"]

    def spawn(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host."""
        process = spawn([*self.enter(user), *command], log, environment=environment)
        self._spawned.append(process)
        return process

    def deaf_to(self, other: Host, how: How = "drop") -> None:
        """Drop or refuse what the other host sends to this one, until ``Network.heal``."""
        self._run("nft", f"add rule inet faults input ip saddr {other.address} {_VERDICT[how]}")

    def heal(self) -> None:
        """Hear every host again."""
        self._run("nft", "flush chain inet faults input")

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self.enter(), *command], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} on {self.name}: {done.stderr}")


class Network:
    """A switch and its hosts. They vanish with this process."""

    def __init__(self) -> None:
        for name in ("ip", "nft", "nsenter", "unshare"):
            program(name)
        self.hosts: dict[str, Host] = {}
        self.subnet = _free_subnet()
        self._uplink = f"tele{os.getpid()}"

    def host(self, name: str) -> Host:
        """Add a host."""
        self.hosts[name] = Host(self, name, len(self.hosts) + 2)
        return self.hosts[name]

    def partition(self, a: Host, b: Host, how: How = "drop") -> None:
        """Cut two hosts off from each other, until ``heal``."""
        a.deaf_to(b, how)
        b.deaf_to(a, how)

    def heal(self) -> None:
        """Connect every host with every other again."""
        for host in self.hosts.values():
            host.heal()

    def connect(self, cable: str, pid: int) -> None:
        """Lay a cable from the switch to the network namespace of a process."""
        self._ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._ip("link", "set", cable, "master", "switch", "up")

    def disconnect(self, cable: str) -> None:
        """Pull a cable out."""
        self._ip("link", "delete", cable)

    def __enter__(self) -> Self:
        self._switch, self._pid = unshared(["--net", "--fork", "--kill-child", "sleep", "infinity"])
        self._ip("link", "add", "switch", "type", "bridge")
        self._ip("link", "set", "switch", "up")
        self._ip("link", "add", "uplink", "type", "veth", "peer", "name", self._uplink, "netns", str(os.getpid()))
        self._ip("link", "set", "uplink", "master", "switch", "up")
        _check("ip", "address", "add", f"{self.subnet}.1/24", "dev", self._uplink)
        _check("ip", "link", "set", self._uplink, "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._switch.kill()
        for host in self.hosts.values():
            host.end()
        for host in self.hosts.values():
            host.wait()
        self._switch.wait(30)

    def _ip(self, *arguments: str) -> None:
        _check("nsenter", f"--target={self._pid}", "--net", "ip", *arguments)


def unshared(arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process in namespaces of its own; return it and the process id of its child, which is inside."""
    process = subprocess.Popen(["unshare", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return process, int(_until(lambda: children.read_text().strip()))


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def _until(probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if found := probe():
                return found
        time.sleep(0.01)
    raise RuntimeError("a host did not start or stop; namespaces need root")


def _free_subnet() -> str:
    taken = subprocess.run(["ip", "-4", "address"], capture_output=True, text=True, check=True).stdout
    while True:
        found = f"10.{random.randint(100, 250)}.{random.randint(0, 255)}"
        if f" {found}." not in taken:
            return found
