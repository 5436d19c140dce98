"""How long commands and workers take to start: ``python -m tests.bench.start``.

The commands by their processor time, next to ``celery --help``; a worker by the time and the processor time from its
start until it says that it takes messages, next to bare Celery's. In turn, so that other load affects all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from consumer.wiring import open_ledger
from schemas.settings import Settings
from tests.servers.process import end, spawn
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import ROOT

REQUEST = {"id": "start", "type": "reel", "data": {"image": "s3://inbox/a.png", "audio": "s3://inbox/b.mp3"}}
TELECINE = ("-m", "ops.cli.main")
#: The peer of each measurement.
PEERS = {
    "telecine --help": "celery --help",
    "telecine submit": "celery --help",
    "telecine worker": "celery worker",
}


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a Telecine with default settings."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
    return known | {"TELECINE_HOME": str(home)} | more


def command_seconds(arguments: Sequence[str], home: Path) -> float:
    """Return the seconds of processor time of a command that succeeds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=ROOT, env=environment(home), check=True, capture_output=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def worker_seconds(arguments: Sequence[str], home: Path, ready: str, variables: dict[str, str]) -> tuple[float, float]:
    """Return the seconds until a worker has logged ``ready``, and the processor time of all its processes until then.

    Raises:
        RuntimeError: It ended, or took two minutes.
    """
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
        log = Path(folder) / "log"
        began = time.monotonic()
        process = spawn([sys.executable, *arguments], log, environment=environment(home, **variables), folder=ROOT)
        try:
            while ready not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() - began > 120:
                    raise RuntimeError(f"the worker is not ready\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.005)
            return time.monotonic() - began, processor_seconds(process.pid)
        finally:
            end(process, signal.SIGKILL)


def processor_seconds(group: int) -> float:
    """Return the processor time that the living processes of a group have taken."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def broker_at(url: str | None) -> Iterator[str]:
    """Yield the URL, or that of a new RabbitMQ."""
    if url is not None:
        yield url
        return
    with contextlib.closing(RabbitMQ()) as rabbitmq:
        rabbitmq.start()
        yield rabbitmq.url


def measure(rounds: int, broker_url: str | None) -> dict[str, Any]:
    """Measure every way, one round after the other."""
    found: dict[str, list[Any]] = {}
    options = ("-c", "2", "-Q", "bench.celery", "--without-gossip", "--without-mingle")
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder, broker_at(broker_url) as url:
        home, file = Path(folder) / "home", Path(folder) / "request.json"
        file.write_text(json.dumps(REQUEST))
        open_ledger(Settings(home=home)).close()
        telecine = {"TELECINE_BROKER_URL": url, "TELECINE_STORAGE": "folder", "TELECINE_LOG_FORMAT": "json"}
        celery = {"TELECINE_BENCH_BROKER": url}
        app = ("-m", "celery", "-A", "tests.bench.noop.celery_app", "worker", "-l", "INFO", *options)
        worker = (*TELECINE, "worker", "--role", "io", "--concurrency", "2")
        ways: dict[str, Callable[[], Any]] = {
            "celery --help": lambda: command_seconds(("-m", "celery", "--help"), home),
            "telecine --help": lambda: command_seconds((*TELECINE, "--help"), home),
            "telecine submit": lambda: command_seconds((*TELECINE, "submit", str(file)), home),
            "celery worker": lambda: worker_seconds(app, home, " ready.", celery),
            "telecine worker": lambda: worker_seconds(worker, home, '"worker_started"', telecine),
        }
        for _ in range(rounds):
            for name, run in ways.items():
                found.setdefault(name, []).append(run())
    return summary(found)


def summary(found: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the least and the median of each, and the median of its ratios to its peer's of the same round."""
    figures: dict[str, Any] = {}
    for name, runs in found.items():
        cpu = [run[1] if isinstance(run, tuple) else run for run in runs]
        figures[name] = {"cpu_seconds": {"least": min(cpu), "median": statistics.median(cpu)}}
        if isinstance(runs[0], tuple):
            wall = [run[0] for run in runs]
            figures[name]["seconds"] = {"least": min(wall), "median": statistics.median(wall)}
    for name, peer in PEERS.items():
        pairs = zip(found[name], found[peer], strict=True)
        ratios = [ours[1] / theirs[1] if isinstance(ours, tuple) else ours / theirs for ours, theirs in pairs]
        figures[name] |= {"peer": peer, "cpu_ratio": statistics.median(ratios)}
    return figures


def main() -> None:
    """Measure, print, and write the figures."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.start", description=__doc__)
    options.add_argument("--rounds", type=int, default=5, help="runs of each way, in turn")
    options.add_argument("--broker", default=None, help="amqp://… of a RabbitMQ that may be used, instead of a new one")
    options.add_argument("--json", type=Path, default=Path("start-bench.json"), help="where the figures go")
    given = options.parse_args()
    figures = measure(given.rounds, given.broker)
    given.json.write_text(json.dumps(figures, indent=2) + "\n")
    for name, each in figures.items():
        cpu, wall = each["cpu_seconds"], each.get("seconds")
        ready = f", ready after {wall['median']:.2f} s" if wall else ""
        ratio = f", × {each['cpu_ratio']:.2f} of {each['peer']}" if "peer" in each else ""
        print(f"{name}: {cpu['median']:.2f} s of processor time (least {cpu['least']:.2f}){ready}{ratio}")


if __name__ == "__main__":
    main()
