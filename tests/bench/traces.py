"""What traces cost a job that does nothing: ``python -m tests.bench.traces``.

Processor time of admission and execution in one process, in turn without traces and with all of them exported to a
collector in another process. That of all its threads, so that the export counts; the wait for the disk does not.
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
from pathlib import Path
from typing import Any

from tests.telecine_process import ROOT
from tests.traces import Collector

_BATCH = 50


def milliseconds_per_job(count: int) -> float:
    """Run jobs in this process, as its environment says, and return the processor time of each."""
    from consumer import logs, tracing
    from consumer.admission.batch import BatchAdmitter
    from consumer.admission.message import IncomingMessage
    from consumer.execution.durable import advance
    from consumer.wiring import admission_policy, build_runtime
    from schemas.settings import Settings

    runtime = build_runtime(Settings())
    logs.configure("INFO", "json")
    admit = BatchAdmitter(runtime.database, admission_policy(runtime))
    tracing.start_tracing()
    began = 0.0
    for first in range(-_BATCH, count, _BATCH):  # the first batch warms up, with the first export
        if first == 0:
            if tracing._spans is not None:
                tracing._spans._provider.force_flush()
            began = time.process_time()
        ids = [f"j{first + number}" for number in range(_BATCH)]
        bodies = [json.dumps({"id": job_id, "type": "noop", "data": {}}).encode() for job_id in ids]
        admit([IncomingMessage(body, "inbox", "q") for body in bodies])
        for job_id in ids:
            advance(runtime, job_id)
    tracing.stop_tracing()
    return (time.process_time() - began) / count * 1000


def measured(count: int, variables: dict[str, str]) -> float:
    """Run the jobs in a process with these variables."""
    with tempfile.TemporaryDirectory(prefix="telecine-bench-") as home:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("TELECINE_", "OTEL_"))}
        chosen = {"TELECINE_HOME": home, "TELECINE_EXTENSIONS": "tests.note_pipeline", **variables}
        command = [sys.executable, "-m", "tests.bench.traces", "--here", "--count", str(count)]
        done = subprocess.run(command, cwd=ROOT, env=known | chosen, check=True, stdout=-1, stderr=subprocess.DEVNULL)
    return float(done.stdout)


def main() -> None:
    """Measure both ways in turn and print the medians."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.traces", description=__doc__)
    options.add_argument("--count", type=int, default=1000, help="jobs of one run")
    options.add_argument("--rounds", type=int, default=7, help="runs of each way")
    options.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--json", type=Path, default=Path("traces-bench.json"), help="where the figures go")
    chosen = options.parse_args()
    if chosen.here:
        print(milliseconds_per_job(chosen.count))
        return
    runs: dict[str, list[float]] = {"off": [], "on": []}
    with Collector() as collector:
        for _ in range(chosen.rounds):
            runs["off"].append(measured(chosen.count, {}))
            runs["on"].append(measured(chosen.count, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}))
        spans = len(collector.spans) / chosen.rounds / (chosen.count + _BATCH)
    ratios = [on / off for off, on in zip(runs["off"], runs["on"], strict=True)]
    figures: dict[str, Any] = {name: statistics.median(each) for name, each in runs.items()}
    figures |= {"ratio": statistics.median(ratios), "spans_per_job": spans, "runs": runs}
    chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"off {figures['off']:.2f} ms of processor time per job, on {figures['on']:.2f} ms: × {figures['ratio']:.2f}")
    print(f"from × {min(ratios):.2f} to × {max(ratios):.2f}; {spans:.1f} spans per job")


if __name__ == "__main__":
    main()
