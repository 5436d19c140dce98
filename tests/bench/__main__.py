"""All benchmarks, one after the other: ``python -m tests.bench``. Writes ``bench.json`` and ``bench.md``.

Run it with `make bench`, which installs what it needs. A part that fails is reported, and the others continue.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench import tables


def main() -> None:
    """Run every benchmark in a process of its own and write one summary."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("--folder", type=Path, default=Path("bench-results"), help="where the figures go")
    folder: Path = options.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    ran, failed = [], []
    for name in ("reel", "films", "alignment", "messages", "growth", "flights", "edge", "dashboard", "metrics", "local"):
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(folder / f"{name}.json")]
        with (folder / f"{name}.txt").open("w") as output:
            if subprocess.run(command, stdout=output, check=False).returncode:
                failed.append(name)
            else:
                ran.append(name)
        print((folder / f"{name}.txt").read_text(), flush=True)
    summary = _summary(folder, ran, failed)
    (folder / "bench.json").write_text(json.dumps(summary, indent=2) + "\n")
    (folder / "bench.md").write_text(_markdown(folder, summary))
    print(f"summary: {folder / 'bench.json'}, {folder / 'bench.md'}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _summary(folder: Path, ran: list[str], failed: list[str]) -> dict[str, Any]:
    found = {name: json.loads((folder / f"{name}.json").read_text()) for name in ran}
    return {"load_at_end": os.getloadavg()[0], "failed": failed, **found}


def _markdown(folder: Path, summary: dict[str, Any]) -> str:
    parts = ["# Benchmarks"]
    if "reel" in summary:
        # Its own table is Markdown already.
        lines = (folder / "reel.txt").read_text().splitlines()
        parts += ["## A reel", "\n".join(line for line in lines if line.startswith("|"))]
    if "films" in summary:
        parts += ["## Films", (folder / "films.txt").read_text().strip()]
    if "alignment" in summary:
        parts += ["## Alignment", (folder / "alignment.txt").read_text().strip()]
    if "messages" in summary:
        parts += ["## Messages", tables.markdown(summary["messages"])]
    if "growth" in summary:
        parts += ["## Growth", (folder / "growth.txt").read_text().strip()]
    if "dashboard" in summary:
        parts += ["## The dashboard", "```\n" + (folder / "dashboard.txt").read_text().strip() + "\n```"]
    if "metrics" in summary:
        parts += ["## Metrics", (folder / "metrics.txt").read_text().strip()]
    if "flights" in summary:
        printed = (folder / "flights.txt").read_text().splitlines()
        parts += ["## Provider jobs in flight", "\n".join(f"- {line}" for line in printed if ": {" in line)]
    if "edge" in summary:
        parts += ["## HTTP edge", (folder / "edge.txt").read_text().strip()]
    if "local" in summary:
        parts += ["## Local models", (folder / "local.txt").read_text().strip()]
    return "\n\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    main()
