"""``/metrics`` in the Prometheus text format: the numbers of the ledger, which all processes share, and of this one.

The counters survive the death of any process and the deletion of jobs, because the ledger keeps them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from consumer.ledger.counters import BUCKETS_SECONDS, Counters
from consumer.ledger.schema import HEAD
from consumer.ledger.states import OPEN, SETTLED, CallState, DeliveryState, State
from consumer.wakeups.queues import ROLES
from ops import metric_families as families
from ops.machine_metrics import Machine
from ops.metric_families import COUNTERS, HISTOGRAMS, Family
from ops.metrics_snapshot import Snapshot
from schemas.envelope import PRIORITIES
from schemas.job_types import JOB_TYPES

_STATUSES = ("running", "due", "parked", "scheduled", "retrying", "paused")
_OUTCOMES = [state.value for state in DeliveryState if state is not DeliveryState.PENDING]

#: Label values and the value.
Samples = Iterable[tuple[tuple[str, ...], float]]


def render_metrics(
    snapshot: Snapshot | None,
    parts: Mapping[str, bool],
    *,
    machine: Machine | None = None,
    slots: Mapping[str, int] | None = None,
    storage_up: bool | None = None,
) -> bytes:
    """Return the metrics in the Prometheus text format.

    Args:
        snapshot: The ledger's state; ``None`` if it did not answer, and then only the metrics of the process remain.
        parts: The loops of this process, and whether each runs and is connected.
        machine: What this process sees of its machine.
        slots: How many jobs each worker of this process runs at the same time.
        storage_up: Whether the object storage answers; ``None`` for a folder.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot, parts, machine, slots or {}, storage_up))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)


class _Collector(Collector):
    """A collector for one scrape."""

    def __init__(
        self,
        snapshot: Snapshot | None,
        parts: Mapping[str, bool],
        machine: Machine | None,
        slots: Mapping[str, int],
        storage_up: bool | None,
    ) -> None:
        self._snapshot = snapshot
        self._parts = parts
        self._machine = machine
        self._slots = slots
        self._storage_up = storage_up

    def collect(self) -> Iterator[Metric]:
        """Yield each metric family once."""
        versions = {"version": version("telecine"), "python": platform.python_version(), "schema": HEAD}
        yield InfoMetricFamily(families.INFO.name.removesuffix("_info"), families.INFO.help, value=versions)
        yield _gauge(families.LEDGER_UP, [((), float(self._snapshot is not None and self._snapshot.writable))])
        yield _gauge(families.PART_UP, _by_word(self._parts))
        if self._storage_up is not None:
            yield _gauge(families.STORAGE_UP, [((), float(self._storage_up))])
        yield _gauge(families.SLOTS, _by_word(self._slots))
        if self._machine is not None:
            yield from _of_machine(self._machine)
        if self._snapshot is not None:
            yield from _counted(self._snapshot.counters)
            yield from _now(self._snapshot)


def _counted(counters: Counters) -> Iterator[Metric]:
    found = _zeros() | counters
    for key, family in COUNTERS.items():
        metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for (name, labels), value in sorted(found.items()):
            if name == key:
                # Divided, because 3 * 1e-6 is not 0.000003.
                metric.add_metric(list(labels), value / round(1 / family.unit))
        yield metric
    for key, family in HISTOGRAMS.items():
        yield _histogram(key, family, found)


def _zeros() -> Counters:
    """Return the counters whose labels are known before the first event: ``rate`` needs a value before it."""
    zeros: Counters = {("callback_attempts", (outcome,)): 0 for outcome in _OUTCOMES}
    for kind in JOB_TYPES:
        zeros |= {("jobs_received", (kind,)): 0, ("jobs_ended", (kind, State.COMPLETED.value, "", "")): 0}
        zeros |= {("failed_attempts", (kind, "crash")): 0}
        zeros |= {("job_wait_micros", (kind,)): 0, ("job_run_micros", (kind, State.COMPLETED.value)): 0}
    return zeros | {("callback_delivery_micros", ()): 0}


def _histogram(key: str, family: Family, counters: Counters) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    limits = [*map(str, BUCKETS_SECONDS), "+Inf"]
    numbers: dict[tuple[str, ...], list[int]] = {}
    for (name, labels), value in counters.items():
        if name == f"{key}_micros":
            numbers.setdefault(labels, [0] * len(limits))
        elif name == f"{key}_bucket":
            numbers.setdefault(labels[:-1], [0] * len(limits))[int(labels[-1])] += value
    for labels, own in sorted(numbers.items()):
        below = [sum(own[: place + 1]) for place in range(len(limits))]
        buckets: list[tuple[str, float]] = list(zip(limits, map(float, below), strict=True))
        metric.add_metric(
            list(labels), buckets=buckets, sum_value=counters.get((f"{key}_micros", labels), 0) / 1_000_000
        )
    return metric


def _now(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the gauges of the ledger. They have all their series from the start, so that a graph falls to zero."""
    types = {*JOB_TYPES, *(kind for kind, _ in snapshot.jobs)}
    states = [state.value for state in State if state in OPEN]
    yield _gauge(
        families.JOBS, (((kind, s), snapshot.jobs.get((kind, s), 0)) for kind in sorted(types) for s in states)
    )
    queues: list[tuple[str, str]] = [(role, priority) for role in ROLES for priority in PRIORITIES]
    open_jobs: dict[tuple[str, ...], float] = {(*queue, status): 0 for queue in queues for status in _STATUSES}
    open_jobs |= {(queue.role, queue.priority, queue.status): queue.jobs for queue in snapshot.queues}
    yield _gauge(families.OPEN_JOBS, open_jobs.items())
    due: dict[tuple[str, ...], float] = dict.fromkeys(queues, 0.0)
    due |= {(queue.role, queue.priority): queue.oldest_seconds for queue in snapshot.queues if queue.status == "due"}
    yield _gauge(families.OLDEST_DUE, due.items())
    yield _gauge(families.OLDEST_OPEN, [((), snapshot.oldest_open_seconds)])
    waiting = {state.value: 0 for state in DeliveryState if state is not DeliveryState.DELIVERED}
    yield _gauge(families.CALLBACKS, _by_word(waiting | dict(snapshot.callbacks)))
    yield _gauge(families.DEAD_LETTERS, _by_word(snapshot.dead_letters))
    yield from _providers(snapshot)
    yield _gauge(families.PAUSED, ((pause, 1.0) for pause in snapshot.pauses))
    yield _gauge(families.BUDGET, ((key, limit) for key, (limit, _) in snapshot.budgets.items()))
    yield _gauge(families.BUDGET_SPENT, ((key, spent) for key, (_, spent) in snapshot.budgets.items()))


def _providers(snapshot: Snapshot) -> Iterator[Metric]:
    names = {*snapshot.breakers_open, *(provider for provider, _ in snapshot.calls)}
    states = [state.value for state in CallState if state not in SETTLED]
    calls = {(name, state): snapshot.calls.get((name, state), 0) for name in sorted(names) for state in states}
    yield _gauge(families.OPEN_CALLS, calls.items())
    yield _gauge(families.BREAKER_OPEN, _by_word(snapshot.breakers_open))


def _of_machine(machine: Machine) -> Iterator[Metric]:
    yield _gauge(families.DISK_FREE, (((name,), free) for name, (free, _) in machine.disks.items()))
    yield _gauge(families.DISK_SIZE, (((name,), size) for name, (_, size) in machine.disks.items()))
    yield _gauge(families.SCRATCH, [((), machine.scratch_bytes)])
    yield _gauge(families.GPU_FREE, (((name,), free) for name, (free, _) in machine.devices.items()))
    yield _gauge(families.GPU_SIZE, (((name,), size) for name, (_, size) in machine.devices.items()))


def _by_word(values: Mapping[str, float]) -> Samples:
    return [((str(word),), float(value)) for word, value in sorted(values.items())]


def _gauge(family: Family, samples: Samples) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric(list(labels), float(value))
    return metric
