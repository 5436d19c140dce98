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

#: The modules of the parts, and their titles.
PARTS = {
    "reel": "A reel",
    "films": "Films",
    "alignment": "Alignment",
    "start": "Start-up",
    "messages": "Messages",
    "traces": "Traces",
    "turns": "Turns of tenants",
    "growth": "Growth",
    "flights": "Provider jobs in flight",
    "edge": "HTTP edge",
    "dashboard": "The dashboard",
    "metrics": "Metrics",
    "local": "Local models",
}


def main() -> None:
    """Run every benchmark in a process of its own and write one summary."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("--folder", type=Path, default=Path("bench-results"), help="where the figures go")
    folder: Path = options.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    ran, failed = [], []
    for name in PARTS:
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
    for name, title in PARTS.items():
        if name in summary:
            parts += [f"## {title}", _text(name, (folder / f"{name}.txt").read_text().strip(), summary)]
    return "\n\n".join(parts).rstrip() + "\n"


def _text(name: str, printed: str, summary: dict[str, Any]) -> str:
    """Return what the part printed, as Markdown."""
    lines = printed.splitlines()
    if name == "reel":
        return "\n".join(line for line in lines if line.startswith("|"))
    if name == "flights":
        return "\n".join(f"- {line}" for line in lines if ": {" in line)
    if name == "messages":
        return tables.markdown(summary[name])
    return f"```\n{printed}\n```" if name == "dashboard" else printed


if __name__ == "__main__":
    main()
