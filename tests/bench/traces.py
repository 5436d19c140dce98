"""What traces cost a job that does nothing: ``python -m tests.bench.traces``.

Processor time of admission and execution in one process, in turn without traces and with all of them exported to a
collector in another process. That of all its threads, so that the export counts; the wait for the disk does not.
The blocks of jobs alternate within the process, because two processes differ by more than what is measured here.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.telecine_process import ROOT
from tests.traces import Collector

_BATCH = 50


def measured_blocks(rounds: int, count: int) -> list[tuple[float, float]]:
    """Run blocks of jobs in this process; return the milliseconds of processor time per job without and with traces."""
    from consumer import logs, tracing

    logs.configure("INFO", "json")
    tracing.start_tracing()
    run, spans = _jobs(), tracing._spans
    assert spans is not None

    def block(with_traces: bool) -> float:
        tracing._spans = spans if with_traces else None
        began = time.process_time()
        for _ in range(count // _BATCH):
            run()
        if with_traces:
            spans._provider.force_flush()
        return (time.process_time() - began) / count * 1000

    block(False), block(True)  # to warm up
    return [_pair(block, first=bool(number % 2)) for number in range(rounds)]


def _pair(block: Callable[[bool], float], *, first: bool) -> tuple[float, float]:
    figures = {first: block(first)}
    figures[not first] = block(not first)
    return figures[False], figures[True]


def _jobs() -> Callable[[], None]:
    """Return what admits and executes one batch."""
    from consumer.admission.batch import BatchAdmitter
    from consumer.admission.message import IncomingMessage
    from consumer.execution.durable import advance
    from consumer.wiring import admission_policy, build_runtime
    from schemas.settings import Settings

    runtime = build_runtime(Settings())
    admit = BatchAdmitter(runtime.database, admission_policy(runtime))

    def batches() -> Iterator[None]:
        number = 0
        while True:
            ids = [f"j{number + each}" for each in range(_BATCH)]
            number += _BATCH
            bodies = [json.dumps({"id": job_id, "type": "noop", "data": {}}).encode() for job_id in ids]
            admit([IncomingMessage(body, "inbox", "q") for body in bodies])
            for job_id in ids:
                advance(runtime, job_id)
            yield

    return batches().__next__


def measured(options: argparse.Namespace, endpoint: str) -> list[tuple[float, float]]:
    """Run the blocks in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as home:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("TELECINE_", "OTEL_"))}
        chosen = {"TELECINE_HOME": home, "TELECINE_EXTENSIONS": "tests.note_pipeline"}
        chosen["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        command = [sys.executable, "-m", "tests.bench.traces", "--here", str(Path(home) / "figures.json")]
        command += ["--count", str(options.count), "--rounds", str(options.rounds)]
        nowhere = subprocess.DEVNULL
        subprocess.run(command, cwd=ROOT, env=known | chosen, check=True, stdout=nowhere, stderr=nowhere)
        return [(off, on) for off, on in json.loads((Path(home) / "figures.json").read_text())]


def main() -> None:
    """Measure both ways in turn and print the medians."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.traces", description=__doc__)
    options.add_argument("--count", type=int, default=200, help="jobs of one block, a multiple of 50")
    options.add_argument("--rounds", type=int, default=20, help="blocks of each way")
    options.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--json", type=Path, default=Path("traces-bench.json"), help="where the figures go")
    chosen = options.parse_args()
    if chosen.here:
        chosen.here.write_text(json.dumps(measured_blocks(chosen.rounds, chosen.count)))
        return
    with Collector() as collector:
        runs = measured(chosen, collector.url)
        spans = len(collector.spans) / (chosen.rounds + 1) / chosen.count
    more = statistics.median(on - off for off, on in runs)
    off = statistics.median(off for off, _ in runs)
    figures: dict[str, Any] = {"off": off, "more": more, "ratio": 1 + more / off, "spans_per_job": spans, "runs": runs}
    chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    quarters = statistics.quantiles([on - off for off, on in runs], n=4)
    print(f"off {off:.2f} ms of processor time per job; on {more:.2f} ms more: {more / off:.1%}")
    print(f"half of the pairs from {quarters[0]:.2f} to {quarters[2]:.2f} ms; {spans:.1f} spans per job")


if __name__ == "__main__":
    main()
