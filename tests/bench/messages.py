"""Messages a second, and what Telecine adds to a job's own time: ``python -m tests.bench.messages``.

From plain JSON in RabbitMQ to a finished job that did nothing, for Telecine with its ledger in SQLite
and in PostgreSQL, next to bare Celery, dramatiq and pika on the same broker. The others keep no ledger,
store no manifest and owe no callback: the ratio is the price of those. Needs a checkout, because the
private servers and the receiver are the tests'. Every way is measured ``--rounds`` times in turn; the
median counts, and least and most are printed with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.callbacks import overhead
from tests.bench.lines import Line, admission, throughput
from tests.bench.queues import Broker
from tests.bench.rivals import rivals
from tests.bench.tables import rates_table, stretches_table
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ

Measure = Callable[[], Any]

#: Admission is that much faster than the whole line, and gets as many more messages.
ADMISSION = 10


@contextlib.contextmanager
def servers(broker_url: str | None) -> Iterator[tuple[Broker, Postgres]]:
    """Start a private PostgreSQL, and a private RabbitMQ unless one is named."""
    with contextlib.ExitStack() as stack:
        postgres = Postgres()
        stack.callback(postgres.close)
        postgres.start()
        if broker_url is None:
            rabbitmq = RabbitMQ()
            stack.callback(rabbitmq.close)
            rabbitmq.start()
            broker_url = rabbitmq.url
        yield Broker(broker_url), postgres


def lines(postgres: Postgres) -> list[Line]:
    """Return Telecine with either ledger."""
    return [Line("SQLite", None), Line("PostgreSQL", postgres.create_database)]


def rate_measures(broker: Broker, postgres: Postgres, count: int) -> dict[str, Measure]:
    """Return what measures messages per second, by name, in the order of the table."""
    found: dict[str, Measure] = {}
    for line in lines(postgres):
        found[f"Telecine, {line.name}"] = partial(throughput, broker, line, count)
    for line in lines(postgres):
        found[f"Telecine, admission alone, {line.name}"] = partial(admission, broker, line, count * ADMISSION)
    for rival in rivals():
        found[rival.name] = partial(rival.rate, broker, count)
    return found


def in_turn(measures: Mapping[str, Measure], rounds: int, failed: dict[str, str]) -> dict[str, list[Any]]:
    """Run every measure once, then every one again, so that other load on the machine affects all of them alike.

    A measure that fails is reported in ``failed`` and left out from then on; the others continue.
    """
    results: dict[str, list[Any]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            if name in failed:
                continue
            try:
                results[name].append(measure())
            except Exception as error:
                failed[name] = str(error) or type(error).__name__
                print(f"  round {number + 1}: {name} FAILED: {failed[name]}", file=sys.stderr, flush=True)
            else:
                print(f"  round {number + 1}: {name}: {_brief(results[name][-1])}", file=sys.stderr, flush=True)
    return {name: found for name, found in results.items() if found}


def summary(rates: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return median, least and most of each."""
    return {
        name: {"median": statistics.median(each), "least": min(each), "most": max(each), "runs": len(each)}
        for name, each in rates.items()
    }


def stretches(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median over the runs of each quantile of each stretch."""
    return {
        stretch: {of: statistics.median(run[stretch][of] for run in runs) for of in runs[0][stretch]}
        for stretch in runs[0]
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure everything and return the figures, ready to be written as JSON."""
    load = os.getloadavg()[0]
    failed: dict[str, str] = {}
    with servers(given.broker) as (broker, postgres):
        measures = {
            name: each
            for name, each in rate_measures(broker, postgres, given.count).items()
            if not given.only or given.only.lower() in name.lower()
        }
        rates = in_turn(measures, given.rounds, failed)
        callbacks: dict[str, list[Any]] = {}
        if given.callbacks:
            callbacks = in_turn(
                {line.name: partial(overhead, broker, line, given.callbacks) for line in lines(postgres)},
                given.callback_rounds,
                failed,
            )
    return {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load_at_start": load},
        "count": given.count,
        "messages_per_second": summary(rates),
        "failed": failed,
        "callbacks": given.callbacks,
        "milliseconds_to_callback": {name: stretches(runs) for name, runs in callbacks.items()},
        "runs": {"messages_per_second": rates, "milliseconds_to_callback": callbacks},
    }


def _brief(result: Any) -> str:
    if isinstance(result, float):
        return f"{result:.0f}/s"
    total = result["total"]
    return f"p50 {total['p50_ms']:.0f} ms, p99 {total['p99_ms']:.0f} ms"


def arguments() -> argparse.ArgumentParser:
    """Return the command's options."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.messages", description=__doc__)
    options.add_argument("--count", type=int, default=2000, help="jobs of one run of Telecine; faster ways get more")
    options.add_argument("--rounds", type=int, default=3, help="runs of each way, in turn")
    options.add_argument("--callbacks", type=int, default=300, help="jobs whose callbacks are timed; 0 leaves it out")
    options.add_argument("--callback-rounds", type=int, default=1, help="runs of that for each ledger")
    options.add_argument("--only", default="", help="only the ways whose name has this in it")
    options.add_argument("--broker", default=None, help="amqp://… of a RabbitMQ that may be used, instead of a new one")
    options.add_argument("--json", type=Path, default=Path("messages-bench.json"), help="where the figures go")
    return options


def main() -> None:
    """Measure, print, and write the JSON file. Exit with 1 if Telecine itself failed; only report a failed rival."""
    given = arguments().parse_args()
    figures = measure(given)
    console = Console()
    if figures["messages_per_second"]:
        console.print(rates_table(figures))
    if figures["milliseconds_to_callback"]:
        console.print(stretches_table(figures))
    for name, reason in figures["failed"].items():
        console.print(f"{name} failed: {reason}", markup=False)
    given.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"figures: {given.json}")
    if any(name.startswith("Telecine") or name in ("SQLite", "PostgreSQL") for name in figures["failed"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
