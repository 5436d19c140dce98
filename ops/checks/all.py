"""All checks of ``telecine doctor``, run in parallel with one time limit."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from consumer.logs import scrub
from ops.checks import broker, keys, ledger, machine, media, providers, sqs, storage, workers
from ops.checks.finding import Check, Finding, failed
from schemas.settings import Settings

#: A check that takes longer has failed; its thread is abandoned.
LIMIT_SECONDS = 30.0


def checks(settings: Settings) -> Sequence[Check]:
    """Return the checks in the order of display."""

    def of(look: Callable[[Settings], Finding]) -> Callable[[], Finding]:
        return functools.partial(look, settings)

    return (
        Check("Python", machine.python),
        Check("ffmpeg", media.ffmpeg),
        Check("PyAV", media.pyav),
        Check("OpenCV", media.opencv),
        Check("fonts", media.fonts),
        Check("broker", of(broker.broker)),
        Check("queues", of(broker.queues)),
        Check("SQS", of(sqs.queues)),
        Check("ledger", of(ledger.ledger)),
        Check("clock", of(ledger.clock)),
        Check("workers", of(workers.workers)),
        Check("dead letters", of(ledger.dead_letters)),
        Check("storage", of(storage.storage)),
        Check("keys", of(keys.keys)),
        Check("models", of(providers.models)),
        Check("providers", of(providers.providers)),
        Check("disk", of(machine.scratch)),
        Check("health port", of(machine.health_port)),
    )


def examine(found: Sequence[Check], *, limit_seconds: float = LIMIT_SECONDS) -> Iterator[tuple[Check, Finding]]:
    """Run all checks in parallel and yield each with its finding, in order."""
    answers: list[queue.SimpleQueue[Finding]] = []
    for check in found:
        answers.append(queue.SimpleQueue())
        threading.Thread(target=_look, args=(check, answers[-1]), name=f"check-{check.name}", daemon=True).start()
    deadline = time.monotonic() + limit_seconds
    for check, answer in zip(found, answers, strict=True):
        try:
            yield check, answer.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            yield check, failed(f"no answer within {limit_seconds:g} s", "is the server reachable from this machine?")


def _look(check: Check, answer: queue.SimpleQueue[Finding]) -> None:
    try:
        answer.put(check.look())
    except ImportError as error:
        answer.put(
            failed(
                f"{error.name or error} is not installed",
                f"reinstall telecine, or install the package that provides {error.name}",
            )
        )
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        answer.put(failed(scrub(f"{type(error).__name__}: {first}")[:300], "see the message"))
