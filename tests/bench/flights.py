"""Ten thousand provider jobs in flight on one worker: ``python -m tests.bench.flights``.

A provider on this machine takes about two minutes for each task, and records when each was done and when that was
noticed. Telecine runs in embedded mode with its defaults, but for the pace of that provider. Next to it, on a private
RabbitMQ: Celery tasks that sleep between polls (50 places), and Celery tasks that come back by
``retry(countdown=…)``; each gets the same jobs and as much time, and as far as it got is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.wiring import admission_policy
from tests.servers.ports import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.telecine_process import ROOT, TelecineProcess

Figures = dict[str, Any]


class Watch:
    """CPU and memory of a process and its children, sampled while something runs."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._cpu: dict[int, float] = {}
        self.peak_bytes = 0

    def look(self) -> int:
        """Return the resident memory of all processes now, in bytes."""
        total = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
                total += process.memory_info().rss
            except psutil.Error:
                continue
        self.peak_bytes = max(self.peak_bytes, total)
        return total

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of every process that was seen, in seconds."""
        return sum(self._cpu.values())


def measure(pid: int, provider: str, count: int, limit_seconds: float) -> Figures:
    """Sample until every task was noticed or the time is over; return the figures."""
    watch, began, samples, figures = Watch(pid), time.monotonic(), [], {}
    while time.monotonic() - began < limit_seconds:
        time.sleep(2)
        samples.append(watch.look())
        figures = ask(provider)
        if figures["noticed"] >= count:
            break
    delays = sorted(figures.get("delays", []))
    wall = time.monotonic() - began
    return {
        "noticed": figures.get("noticed", 0),
        "submitted": figures.get("submitted", 0),
        "most_in_flight": figures.get("most_in_flight", 0),
        "wall_seconds": round(wall, 1),
        "delay_p50_seconds": round(statistics.median(delays), 2) if delays else None,
        "delay_p99_seconds": round(delays[int(len(delays) * 0.99) - 1], 2) if delays else None,
        "polls_per_second": round(figures.get("polls", 0) / wall, 1),
        "cpu_seconds": round(watch.cpu_seconds, 1),
        "peak_mb": round(watch.peak_bytes / 1e6),
        "memory_mb_over_time": [round(value / 1e6) for value in samples[:: max(1, len(samples) // 8)]],
    }


def ask(provider: str) -> Figures:
    """Return the provider's own record."""
    with urllib.request.urlopen(f"{provider}/figures", timeout=30) as reply:
        found: Figures = json.load(reply)
    return found


def telecine(provider: str, count: int, poll_seconds: float, limit_seconds: float) -> Figures:
    """Measure Telecine in embedded mode: one command, no server."""
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as folder:
        entry = {"id": "bench-model", "provider": "cococlip", "types": ["asking"], "poll_seconds": poll_seconds}
        entry |= {"first_wait_seconds": poll_seconds, "remote": "text2video/bench-model"}
        entry |= {"parameters": {"prompt": {"kind": "text"}}}
        settings: dict[str, Any] = {
            "extensions": "tests.bench.noop.asking",
            "models": json.dumps([entry]),
            "provider_limits": json.dumps(
                {"cococlip": {"rate_per_minute": 60_000, "burst": 1000, "concurrency": count}}
            ),
            "cococlip_base_url": provider,
            "cococlip_auth_header": "Authorization: Bearer bench",
            # The defaults, which are shorter in other tests.
            "sweep_seconds": 2,
            "lease_seconds": 30,
            "wake_again_seconds": 30,
        }
        with TelecineProcess(Path(folder) / "home", **settings) as process:
            database = process.database()
            os.environ.update({k: v for k, v in process.environment.items() if k.startswith("TELECINE_")})
            from consumer.wiring import build_runtime
            from schemas.settings import Settings

            admitter = BatchAdmitter(database, admission_policy(build_runtime(Settings())))
            for first in range(0, count, 500):
                numbers = range(first, min(count, first + 500))
                bodies = [json.dumps({"id": f"f{n}", "type": "asking", "data": {}}).encode() for n in numbers]
                admitter([IncomingMessage(body, "bench", "bench") for body in bodies])
            database.close()
            process.start()
            return measure(process.pid, provider, count, limit_seconds)


def celery(task: str, options: list[str]) -> Callable[[str, int, float, float], Figures]:
    """Return what measures Celery with tasks of that kind."""

    def run(provider: str, count: int, poll_seconds: float, limit_seconds: float) -> Figures:
        rabbitmq = RabbitMQ()
        rabbitmq.start()
        environment = os.environ | {
            "TELECINE_BENCH_BROKER": rabbitmq.url,
            "TELECINE_BENCH_PROVIDER": provider,
            "TELECINE_BENCH_POLL": str(poll_seconds),
        }
        os.environ["TELECINE_BENCH_BROKER"] = rabbitmq.url
        module = "tests.bench.noop.celery_provider"
        command = [sys.executable, "-m", "celery", "-A", module, "worker", "-l", "ERROR", *options]
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            time.sleep(8)
            send = f"from {module} import app\nfor n in range({count}): app.send_task('bench.{task}', (n,))"
            subprocess.run([sys.executable, "-c", send], cwd=ROOT, env=environment, check=True)
            return measure(worker.pid, provider, count, limit_seconds)
        finally:
            worker.kill()
            worker.wait()
            rabbitmq.close()

    return run


WAYS: Mapping[str, Callable[[str, int, float, float], Figures]] = {
    "Telecine, embedded": telecine,
    "Celery, retry(countdown)": celery("retrying", ["-P", "prefork", "-c", "2"]),
    "Celery, blocking, 50 places": celery("blocking", ["-P", "prefork", "-c", "50"]),
}


def main() -> None:
    """Measure every way in turn; report one that fails and continue."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.flights", description=__doc__)
    options.add_argument("--count", type=int, default=10_000, help="jobs")
    options.add_argument("--task-seconds", type=float, default=120.0, help="how long the provider takes")
    options.add_argument("--poll-seconds", type=float, default=30.0, help="time between two polls of one task")
    options.add_argument("--limit-seconds", type=float, default=420.0, help="time for each way")
    options.add_argument("--only", default="", help="only the ways whose name has this in it")
    options.add_argument("--json", type=Path, default=Path("flights-bench.json"), help="where the figures go")
    chosen = options.parse_args()
    results: dict[str, Figures] = {}
    for name, run in WAYS.items():
        if chosen.only not in name:
            continue
        port = free_port()
        provider = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.noop.provider", str(port), str(chosen.task_seconds)], cwd=ROOT
        )
        try:
            time.sleep(0.5)
            url = f"http://127.0.0.1:{port}"
            results[name] = run(url, chosen.count, chosen.poll_seconds, chosen.limit_seconds)
        except Exception as error:
            results[name] = {"failed": str(error) or type(error).__name__}
        finally:
            provider.kill()
            provider.wait()
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    chosen.json.write_text(json.dumps({"count": chosen.count, "ways": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
