"""The metrics that ``/metrics`` offers: names, kinds, labels and meaning. docs/metrics.md is generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with all its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    labels: tuple[str, ...] = ()
    #: What one unit of the stored integer is worth, in the metric's unit.
    unit: float = 1.0


_MICRO = 1e-6

#: By the name of the counter in the ledger; see ``consumer/ledger/counters.py``.
COUNTERS = {
    "jobs_received": Family(
        "telecine_jobs_received_total",
        "counter",
        "Jobs that were admitted; a retry by an operator counts again.",
        ("type",),
    ),
    "jobs_ended": Family(
        "telecine_jobs_ended_total",
        "counter",
        "Jobs that ended, by state and error code; the code of completed jobs is empty.",
        ("type", "state", "code", "tenant"),
    ),
    "failed_attempts": Family(
        "telecine_job_failed_attempts_total",
        "counter",
        "Attempts after which the job was tried again: it failed for now, or its worker died (crash).",
        ("type", "reason"),
    ),
    "result_bytes": Family(
        "telecine_result_bytes_total", "counter", "Bytes of the results of completed jobs.", ("type",)
    ),
    "dead_letters": Family(
        "telecine_dead_letters_received_total", "counter", "Messages that did not become a job.", ("code",)
    ),
    "callback_attempts": Family(
        "telecine_callback_attempts_total",
        "counter",
        "Attempts to deliver a callback, by the state that followed.",
        ("outcome",),
    ),
    "calls_ended": Family(
        "telecine_provider_calls_ended_total",
        "counter",
        "Calls to providers that ended, by outcome.",
        ("provider", "model", "outcome"),
    ),
    "call_failures": Family(
        "telecine_provider_failures_total",
        "counter",
        "Requests to a provider that failed and are repeated: submissions, polls and fetches.",
        ("provider", "model"),
    ),
    "spent": Family(
        "telecine_provider_spend_usd_total",
        "counter",
        "US dollars that ended calls have cost, as far as prices are known.",
        ("provider", "model", "tenant"),
        _MICRO,
    ),
    "unpriced_calls": Family(
        "telecine_provider_unpriced_calls_total",
        "counter",
        "Calls with a result and without a cost: their price is unknown, unless it is set to 0.",
        ("provider", "model", "tenant"),
    ),
}

#: By the prefix of the counters in the ledger.
HISTOGRAMS = {
    "job_wait": Family(
        "telecine_job_wait_seconds",
        "histogram",
        "From receipt, or the time that the request names, to the first start; of jobs that ended.",
        ("type",),
    ),
    "job_run": Family(
        "telecine_job_run_seconds", "histogram", "From the first start to the end of a job.", ("type", "state")
    ),
    "callback_delivery": Family(
        "telecine_callback_delivery_seconds", "histogram", "From the event to the delivery of its callback."
    ),
    "call": Family(
        "telecine_provider_call_seconds", "histogram", "From the submission of a call to its end.", ("provider",)
    ),
}

INFO = Family("telecine_info", "info", "The installed versions.", ("version", "python", "schema"))
LEDGER_UP = Family("telecine_ledger_up", "gauge", "1 when the ledger answered this scrape and accepts writes.")
PART_UP = Family("telecine_part_up", "gauge", "1 for a part of this process that runs and is connected.", ("part",))
STORAGE_UP = Family("telecine_storage_up", "gauge", "1 when S3 answers and accepts the credentials; not for a folder.")
SLOTS = Family(
    "telecine_worker_slots", "gauge", "Jobs that the worker of this process runs at the same time.", ("part",)
)

JOBS = Family("telecine_jobs", "gauge", "Jobs that have not ended, by type and state.", ("type", "state"))
OPEN_JOBS = Family(
    "telecine_open_jobs",
    "gauge",
    "Jobs that have not ended: running, due for a worker, parked for a call, scheduled, retrying or paused.",
    ("role", "priority", "status"),
)
OLDEST_DUE = Family(
    "telecine_oldest_due_job_seconds",
    "gauge",
    "The longest that a due job has waited for a worker.",
    ("role", "priority"),
)
OLDEST_OPEN = Family("telecine_oldest_open_job_seconds", "gauge", "Age of the oldest job that has not ended.")
CALLBACKS = Family("telecine_callbacks", "gauge", "Callbacks that are not delivered, by state.", ("state",))
DEAD_LETTERS = Family("telecine_dead_letters", "gauge", "Dead letters that were not replayed or dismissed.", ("code",))
OPEN_CALLS = Family(
    "telecine_provider_calls", "gauge", "Calls to providers that have not ended.", ("provider", "state")
)
BREAKER_OPEN = Family(
    "telecine_provider_breaker_open", "gauge", "1 while the circuit breaker is not closed.", ("provider",)
)
PAUSED = Family("telecine_paused", "gauge", "1 for a job type or provider that is paused.", ("kind", "name"))
BUDGET = Family("telecine_budget_usd", "gauge", "What a tenant may spend in the current period.", ("tenant", "period"))
BUDGET_SPENT = Family(
    "telecine_budget_spent_usd",
    "gauge",
    "What it has spent or reserved in the current period, as far as prices are known.",
    ("tenant", "period"),
)

DISK_FREE = Family("telecine_disk_free_bytes", "gauge", "Free bytes of the file system with this folder.", ("folder",))
DISK_SIZE = Family("telecine_disk_size_bytes", "gauge", "Size of the file system with this folder.", ("folder",))
SCRATCH = Family("telecine_scratch_bytes", "gauge", "Bytes of the files in progress in the scratch folder.")
GPU_FREE = Family(
    "telecine_gpu_memory_free_bytes", "gauge", "Free memory of the device, of all processes.", ("device",)
)
GPU_SIZE = Family("telecine_gpu_memory_size_bytes", "gauge", "Memory of the device.", ("device",))

#: In the order of the documentation, by what they describe.
SECTIONS = {
    "The ledger, counted": (*COUNTERS.values(), *HISTOGRAMS.values()),
    "The ledger now": (
        *(LEDGER_UP, JOBS, OPEN_JOBS, OLDEST_DUE, OLDEST_OPEN, CALLBACKS, DEAD_LETTERS, OPEN_CALLS, BREAKER_OPEN),
        *(PAUSED, BUDGET, BUDGET_SPENT),
    ),
    "The process and its machine": (
        *(INFO, PART_UP, STORAGE_UP, SLOTS, DISK_FREE, DISK_SIZE, SCRATCH, GPU_FREE, GPU_SIZE),
    ),
}
