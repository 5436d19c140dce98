"""Prometheus metrics, read from the ledger at each scrape: correct for any number of processes, and after a crash.

The histograms cover the last hour instead of growing without end, because old jobs are deleted. Query them without
``rate``: ``histogram_quantile(0.95, telecine_recent_run_seconds_bucket)``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from consumer.ledger.states import CallState, DeliveryState, State
from ops.metrics_snapshot import Snapshot

BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


def render_metrics(snapshot: Snapshot | None, parts: Mapping[str, bool], tenants: Collection[str] = ()) -> bytes:
    """Return the metrics in the Prometheus text format.

    Args:
        snapshot: The ledger's state; ``None`` if it did not answer, and then ``telecine_ledger_up`` is 0.
        parts: The loops of this process, and whether each runs and is connected.
        tenants: The tenants named in the settings. Other names are text from producers and do not become labels.
    """
    registry = CollectorRegistry()
    registry.register(_LedgerCollector(snapshot, parts, tenants))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)


class _LedgerCollector(Collector):
    """A collector for one scrape."""

    def __init__(self, snapshot: Snapshot | None, parts: Mapping[str, bool], tenants: Collection[str]) -> None:
        self._snapshot = snapshot
        self._parts = parts
        self._tenants = tenants

    def collect(self) -> Iterator[Metric]:
        """Yield each metric family once."""
        yield InfoMetricFamily("telecine", "The installed version.", value={"version": version("telecine")})
        yield _gauge("telecine_ledger_up", "1 when the ledger answered this scrape.", float(self._snapshot is not None))
        yield _labelled(
            "telecine_part_up", "1 for a part of this process that runs and is connected.", "part", self._parts
        )
        if self._snapshot is None:
            return
        yield _jobs(self._snapshot.jobs)
        yield _labelled(
            "telecine_callbacks",
            "Callbacks by state.",
            "state",
            dict.fromkeys(DeliveryState, 0) | dict(self._snapshot.callbacks),
        )
        yield _labelled(
            "telecine_dead_letters",
            "Dead letters that were not replayed, by code.",
            "code",
            self._snapshot.dead_letters,
        )
        yield _gauge(
            "telecine_oldest_open_job_seconds",
            "Age of the oldest job that has not ended.",
            self._snapshot.oldest_open_seconds,
        )
        yield from _providers(self._snapshot, self._tenants)
        waits = [(kind, state, wait) for kind, state, wait, _ in self._snapshot.recent]
        runs = [(kind, state, run) for kind, state, _, run in self._snapshot.recent]
        yield _histogram(
            "telecine_recent_wait_seconds", "Receipt to start, of jobs received and ended in the last hour.", waits
        )
        yield _histogram(
            "telecine_recent_run_seconds", "Start to end, of jobs received and ended in the last hour.", runs
        )


def _providers(snapshot: Snapshot, tenants: Collection[str]) -> Iterator[Metric]:
    calls = GaugeMetricFamily(
        "telecine_provider_calls", "Calls to remote providers by state.", labels=["provider", "state"]
    )
    for provider in sorted({provider for provider, _ in snapshot.calls}):
        for state in CallState:
            calls.add_metric([provider, state.value], snapshot.calls.get((provider, state.value), 0))
    yield calls
    yield _labelled(
        "telecine_provider_breaker_open",
        "1 while the circuit breaker is not closed.",
        "provider",
        snapshot.breakers_open,
    )
    spend = GaugeMetricFamily(
        "telecine_provider_spend_usd",
        "US dollars spent or reserved this month (UTC).",
        labels=["provider", "tenant"],
    )
    sums: dict[tuple[str, str], int] = {}
    for (provider, tenant), micros in snapshot.spend.items():
        labels = (provider, tenant if tenant in tenants else "")
        sums[labels] = sums.get(labels, 0) + micros
    for labels, micros in sorted(sums.items()):
        spend.add_metric(list(labels), micros / 1_000_000)
    yield spend


def _jobs(counts: Mapping[tuple[str, str], int]) -> GaugeMetricFamily:
    """Return a sample for every state of every known type, so that a graph falls to zero instead of ending."""
    family = GaugeMetricFamily("telecine_jobs", "Jobs in the ledger by type and state.", labels=["type", "state"])
    for kind in sorted({kind for kind, _ in counts}):
        for state in State:
            family.add_metric([kind, state.value], counts.get((kind, state.value), 0))
    return family


def _labelled(name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for word, value in sorted(values.items()):
        family.add_metric([str(word)], float(value))
    return family


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)


def _histogram(name: str, help_text: str, times: Iterable[tuple[str, str, float]]) -> GaugeHistogramMetricFamily:
    family = GaugeHistogramMetricFamily(name, help_text, labels=["type", "state"])
    grouped: dict[tuple[str, str], list[float]] = {}
    for kind, state, seconds in times:
        grouped.setdefault((kind, state), []).append(seconds)
    for labels, values in sorted(grouped.items()):
        family.add_metric(list(labels), buckets=_buckets(values), gsum_value=sum(values))
    return family


def _buckets(values: Sequence[float]) -> list[tuple[str, float]]:
    counted = [(str(limit), float(sum(value <= limit for value in values))) for limit in BUCKETS_SECONDS]
    return [*counted, ("+Inf", float(len(values)))]
