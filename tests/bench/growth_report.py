"""The figures of ``tests.bench.growth`` for people: tables in Markdown, and a plot."""

from __future__ import annotations

from typing import Any

from tests.bench.plot import Panel


def markdown(figures: dict[str, Any]) -> str:
    """Return the figures as tables."""
    by = {(each["fronts"], each["workers"]): each["median"] for each in figures["jobs_a_second"]}
    beside = figures["workers"]
    lines = [
        f"| processes | jobs/s: workers, 1 front | jobs/s: fronts, {beside} workers | admitted/s: fronts alone |",
        "|---:|---:|---:|---:|",
    ]
    for n, admitted in figures["admitted_a_second"].items():
        lines.append(f"| {n} | {by[1, n]:,.0f} | {by[n, beside]:,.0f} | {admitted:,} |")
    lines += ["", "| process | connections to PostgreSQL | to RabbitMQ | memory |", "|---|---:|---:|---:|"]
    for name, taken in figures["processes"].items():
        lines.append(f"| {name} | {taken['postgresql']} | {taken['rabbitmq']} | {taken['megabytes']} MB |")
    lines += ["", "| finished jobs in the ledger | its size | claim | claim, p99 | admission, each of 100 | due jobs |"]
    lines += ["|---:|---:|---:|---:|---:|---:|"]
    for rows, each in figures["finished"].items():
        lines.append(
            f"| {rows:,} | {each['gigabytes']} GB | {each['claim_ms']} ms | {each['claim_p99_ms']} ms | "
            f"{each['admission_ms']} ms | {each['due_ms']} ms |"
        )
    lines += ["", f"A finished job with a callback takes {figures['ledger_bytes_a_job']:,} bytes of the ledger."]
    return "\n".join(lines)


def panels(figures: dict[str, Any]) -> list[Panel]:
    """Return the plot's panels."""
    by = {(each["fronts"], each["workers"]): each["median"] for each in figures["jobs_a_second"]}
    beside = figures["workers"]
    numbers = list(figures["admitted_a_second"])
    rows = figures["finished"]
    return [
        Panel(
            "Jobs a second",
            "processes",
            {
                "worker processes, 1 front": [(n, by[1, n]) for n in numbers],
                f"front processes, {beside} workers": [(n, by[n, beside]) for n in numbers],
            },
        ),
        Panel(
            "Milliseconds with finished jobs in the ledger",
            "finished jobs",
            {
                "a claim": [(n, each["claim_ms"]) for n, each in rows.items()],
                "a look for due jobs": [(n, each["due_ms"]) for n, each in rows.items()],
                "an admission": [(n, each["admission_ms"]) for n, each in rows.items()],
            },
        ),
    ]
