"""The HTTP edge: ``python -m tests.bench.edge``.

- Requests admitted a second, without files and with 1 MB of them, next to a plain FastAPI application that writes the
  same into files, as it is and with an ``fsync`` of each file. Only the doors run: no job is worked on.
- A thousand calls that wait on one process: its memory and processor time.
- The time from a POST to the first event of the job.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

from consumer.doors.drop import drop
from consumer.ledger.queries import list_jobs
from tests.bench.http_load import answer, connect, get, post, rate
from tests.edge_process import EdgeProcess
from tests.media_probe import write_photo
from tests.servers.ports import answers, free_port
from tests.servers.process import end, spawn
from tests.telecine_process import ROOT, TelecineProcess, wait_until

CONNECTIONS = 32
_BOUNDARY = "telecine-bench"


def json_call() -> bytes:
    """Return a request without files."""
    body = {"id": f"bench-{uuid.uuid4().hex}", "type": "noop", "data": {"text": "x" * 60}}
    return post("/v1/jobs", "application/json", json.dumps(body).encode())


def form_call(image: bytes, audio: bytes) -> bytes:
    """Return a form with both files. They differ from those of every other call."""
    parts = {"image": image + uuid.uuid4().bytes, "audio": audio + uuid.uuid4().bytes}
    body = b"".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in parts.items()
    )
    body += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="lyrics"\r\n\r\nOne line\r\n'.encode()
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    return post("/jobs/create-video", kind, body + f"--{_BOUNDARY}--\r\n".encode())


def calls(count: int, folder: Path) -> dict[str, tuple[Callable[[], bytes], int]]:
    """Return how to make a call of each kind, and how many."""
    image = write_photo(folder / "image.jpg").read_bytes()
    image += bytes(max(0, 500_000 - len(image)))
    audio = b"ID3\x04\0\0\0\0\0\0" + os.urandom(500_000)
    return {
        "no file": (json_call, count),
        "1 MB of files": (functools.partial(form_call, image, audio), max(count // 4, 1)),
    }


@contextlib.contextmanager
def _doors(folder: Path) -> Iterator[TelecineProcess]:
    with TelecineProcess(folder / "home", notes=True) as telecine:
        yield telecine.start(arguments=("up", "--only", "doors,sweep"))


@contextlib.contextmanager
def telecine_edge(folder: Path) -> Iterator[tuple[str, int]]:
    """Run the doors and one edge, and yield its address and the id of its process."""
    with _doors(folder) as telecine, EdgeProcess(telecine) as edge:
        requests.post(f"{edge.url}/v1/jobs", json={"type": "noop", "data": {}}, timeout=60).raise_for_status()
        yield edge.url, edge.pid


@contextlib.contextmanager
def plain_fastapi(folder: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """Run the application that only writes files, and yield its address and the id of its process."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.noop.plain_fastapi:app", "--port", str(port)]
    environment = {**os.environ, "TELECINE_BENCH_FOLDER": str(folder), **environment}
    server = spawn([*command, "--no-access-log"], folder / "log", environment=environment, folder=ROOT)
    try:
        wait_until(lambda: answers(port), what=(folder / "log").read_text)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        end(server, signal.SIGTERM)


def admission(count: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return, by the kind of call and the way, the calls a second and the processor time of the HTTP process."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    ways: dict[str, Callable[[Path], contextlib.AbstractContextManager[tuple[str, int]]]] = {
        "Telecine": telecine_edge,
        "plain FastAPI": plain_fastapi,
        "plain FastAPI, synced": functools.partial(plain_fastapi, TELECINE_BENCH_SYNCED="1"),
    }
    for _ in range(rounds):
        for way, opened in ways.items():
            with tempfile.TemporaryDirectory(prefix="telecine-bench-") as name, opened(Path(name)) as (url, pid):
                for kind, (make, times) in calls(count, Path(name)).items():
                    before = _processor_seconds(pid)
                    per_second = asyncio.run(rate(url, make, times, CONNECTIONS))
                    measured = (per_second, (_processor_seconds(pid) - before) / times * 1000)
                    found.setdefault(kind, {}).setdefault(way, []).append(measured)
    return {kind: {way: _spread(rates) for way, rates in ways_.items()} for kind, ways_ in found.items()}


def open_waits(count: int, seconds: float) -> dict[str, Any]:
    """Return what ``count`` calls cost that wait, each for another job, for ``seconds``; then all jobs end."""
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as name, _doors(Path(name)) as telecine:
        database = telecine.database()
        for number in range(count):
            body = {"id": f"wait-{number}", "type": "noop", "data": {}, "not_before": 3600}
            drop(telecine.settings.inbox_folder, json.dumps(body).encode())
        wait_until(lambda: len(list_jobs(database, limit=count + 1)) == count, timeout=120)
        database.close()
        with EdgeProcess(telecine, edge_max_open_calls=count) as edge:
            return asyncio.run(_waits(edge, count, seconds))


async def _waits(edge: EdgeProcess, count: int, seconds: float) -> dict[str, Any]:
    process = psutil.Process(edge.pid)
    idle = process.memory_info().rss
    readers = []
    for number in range(count):
        reader, writer = await connect(edge.url)
        writer.write(get(f"/v1/jobs/wait-{number}?wait=3600"))
        readers.append((reader, writer))
    await asyncio.sleep(min(seconds, 5.0))
    memory, used, begun = [process.memory_info().rss], _processor_seconds(edge.pid), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        await asyncio.sleep(seconds / 4)
        memory.append(process.memory_info().rss)
    share = (_processor_seconds(edge.pid) - used) / (time.perf_counter() - begun)
    canceller = await connect(edge.url)
    for number in range(count):
        canceller[1].write(post(f"/v1/jobs/wait-{number}/cancel", "application/json", b""))
        await answer(canceller[0])
    ended = [json.loads(await asyncio.wait_for(answer(reader), 60))["status"] for reader, _ in readers]
    return {
        "answered": ended.count("cancelled"),
        "megabytes_idle": idle / 1e6,
        "megabytes_waiting": [size / 1e6 for size in memory],
        "processor_share": share,
    }


def first_event(count: int) -> dict[str, float]:
    """Return the milliseconds from the POST of a request to the first event of its job, one job after the other."""
    times = []
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as name, telecine_edge(Path(name)) as (url, _):
        session = requests.Session()
        for _ in range(count):
            begun = time.perf_counter()
            made = session.post(f"{url}/v1/jobs", json={"type": "noop", "data": {}}, timeout=60).json()
            with session.get(made["links"]["events"], stream=True, timeout=60) as events:
                next(line for line in events.iter_lines() if line.startswith(b"data:"))
                times.append((time.perf_counter() - begun) * 1000)
    return {"p50": statistics.median(times), "most": max(times)}


def _spread(measured: list[tuple[float, float]]) -> dict[str, float]:
    rates, processor = zip(*measured, strict=True)
    return {
        "median": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "processor_ms_per_call": statistics.median(processor),
    }


def _processor_seconds(pid: int) -> float:
    return float(sum(psutil.Process(pid).cpu_times()[:2]))


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.edge", description=__doc__)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--count", type=int, default=2000, help="calls without a file; a quarter as many with files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waits", type=int, default=1000, help="calls that wait at once")
    parser.add_argument("--wait-seconds", type=float, default=60.0)
    parser.add_argument("--events", type=int, default=50)
    options = parser.parse_args()
    figures = {
        "admitted_per_second": admission(options.count, options.rounds),
        "waits": open_waits(options.waits, options.wait_seconds),
        "milliseconds_to_first_event": first_event(options.events),
    }
    for kind, ways in figures["admitted_per_second"].items():
        for way, found in ways.items():
            print(
                f"{kind}, {way}: {found['median']:,.0f}/s ({found['least']:,.0f} to {found['most']:,.0f}), "
                f"{found['processor_ms_per_call']:.1f} ms of CPU a call"
            )
    print(f"{options.waits} waits: {figures['waits']}")
    print(f"POST to first event, ms: {figures['milliseconds_to_first_event']}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
