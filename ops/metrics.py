"""Prometheus metrics, read from the ledger at each scrape: right for any number of processes, and after any crash."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from consumer.ledger import queries
from consumer.ledger.database import Database


class LedgerCollector:
    """Counts what the ledger holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        yield _family("telecine_jobs", "Jobs in the ledger by state.", "state", queries.count_jobs(self._database))
        yield _family("telecine_callbacks", "Callbacks by state.", "state", queries.count_deliveries(self._database))
        yield _family("telecine_dead_letters", "Refused messages nobody has replayed, by code.", "code", queries.count_rejections(self._database))
        oldest = GaugeMetricFamily("telecine_oldest_open_job_seconds", "Age of the oldest job that has not ended.")
        oldest.add_metric([], queries.oldest_open_seconds(self._database))
        yield oldest


def render_metrics(database: Database) -> bytes:
    """The text exposition format."""
    registry = CollectorRegistry()
    registry.register(LedgerCollector(database))
    return generate_latest(registry)


def _family(name: str, help_text: str, label: str, counts: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
