"""All checks of ``telecine doctor``, run in parallel with one time limit."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from consumer.logs import scrub
from ops.checks import broker, keys, ledger, machine, media, providers, sources, sqs, storage, workers
from ops.checks.finding import Check, Finding, failed
from schemas.settings import Settings

#: A check that takes longer has failed; its thread is abandoned.
LIMIT_SECONDS = 30.0
#: For checks that read the ledger: that of the ledger itself names the fault.
LEDGER_ADVICE = "mend what the check `ledger` found"


def all_checks(settings: Settings) -> Sequence[Check]:
    """Return the checks in the order of display."""

    def bound(check_settings: Callable[[Settings], Finding]) -> Callable[[], Finding]:
        return functools.partial(check_settings, settings)

    return (
        Check("settings", bound(sources.settings_sources)),
        Check("Python", machine.python),
        Check("ffmpeg", media.ffmpeg),
        Check("PyAV", media.pyav),
        Check("OpenCV", media.opencv),
        Check("fonts", media.fonts, media.FONTS_ADVICE),
        Check("broker", bound(broker.broker)),
        Check("queues", bound(broker.queues)),
        Check("SQS", bound(sqs.queues)),
        Check("ledger", bound(ledger.ledger)),
        Check("clock", bound(ledger.clock), LEDGER_ADVICE),
        Check("workers", bound(workers.workers), LEDGER_ADVICE),
        Check("dead letters", bound(ledger.dead_letters), LEDGER_ADVICE),
        Check("retention", bound(ledger.retention)),
        Check("storage", bound(storage.storage)),
        Check("pairs", bound(storage.pairs)),
        Check("keys", bound(keys.keys)),
        Check("models", bound(providers.models)),
        Check("providers", bound(providers.providers)),
        Check("disk", bound(machine.scratch)),
        Check("health port", bound(machine.health_port)),
    )


def run_checks(checks: Sequence[Check], *, limit_seconds: float = LIMIT_SECONDS) -> Iterator[tuple[Check, Finding]]:
    """Run all checks in parallel and yield each with its finding, in order."""
    findings: list[queue.SimpleQueue[Finding]] = []
    for check in checks:
        findings.append(queue.SimpleQueue())
        threading.Thread(target=_run, args=(check, findings[-1]), name=f"check-{check.name}", daemon=True).start()
    deadline = time.monotonic() + limit_seconds
    for check, finding in zip(checks, findings, strict=True):
        try:
            yield check, finding.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            yield check, failed(f"no answer within {limit_seconds:g} s", "is the server reachable from this machine?")


def _run(check: Check, finding: queue.SimpleQueue[Finding]) -> None:
    try:
        finding.put(check.run())
    except ImportError as error:
        finding.put(
            failed(
                f"{error.name or error} is not installed",
                f"reinstall telecine, or install the package that provides {error.name}",
            )
        )
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        finding.put(failed(scrub(f"{type(error).__name__}: {first}")[:300], check.advice))
