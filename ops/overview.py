"""The state of an installation at one moment, for ``telecine status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from consumer.ledger import queries
from consumer.ledger.call_queries import count_calls
from consumer.ledger.database import Database
from consumer.ledger.pauses import PauseKind, list_pauses
from consumer.ledger.states import SETTLED, CallState
from ops.health_client import HealthAnswer

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How many jobs ended with a state and error code."""

    state: str
    code: str
    last_hour: int
    last_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What runs, what waits and for what, and what went wrong lately."""

    running: int
    #: Open jobs that do not run.
    waiting: int
    #: By reason: a worker of a role, a later attempt, a provider, or a decision about an unknown outcome.
    waiting_for: Mapping[str, int]
    oldest_open_seconds: float
    #: Received and completed in the last hour, and in the last day.
    completed: tuple[int, int]
    #: Ended without a result, most frequent first.
    ended: Sequence[Ended]
    #: Callbacks that are not delivered, by state.
    callbacks: Mapping[str, int]
    #: By code.
    dead_letters: Mapping[str, int]
    #: Paid calls of which it is unknown whether the provider accepted them.
    unknown_outcomes: int
    #: Job types and providers that are paused, such as ``type reel``, with who paused them.
    paused: Mapping[str, str]

    def as_record(self) -> dict[str, Any]:
        """Return it as JSON."""
        record = asdict(self)
        record["completed"] = {"last_hour": self.completed[0], "last_day": self.completed[1]}
        record["oldest_open_seconds"] = round(self.oldest_open_seconds, 1)
        return record


def take_overview(database: Database) -> Overview:
    """Read the current state from the ledger."""
    open_jobs = queries.count_open_jobs(database)
    calls = {key: number for key, number in count_calls(database).items() if key[1] not in SETTLED}
    pauses = list_pauses(database)
    unknown = sum(number for (_, state), number in calls.items() if state == CallState.UNKNOWN)
    return Overview(
        running=sum(number for (doing, _), number in open_jobs.items() if doing == "running"),
        waiting=sum(number for (doing, _), number in open_jobs.items() if doing != "running"),
        waiting_for=_reasons(open_jobs, calls, unknown, {p.name for p in pauses if p.kind is PauseKind.PROVIDER}),
        oldest_open_seconds=queries.oldest_open_seconds(database),
        completed=(
            queries.count_completed_jobs(database, seconds=HOUR),
            queries.count_completed_jobs(database, seconds=DAY),
        ),
        ended=_ended(queries.count_ended_jobs(database, seconds=HOUR), queries.count_ended_jobs(database, seconds=DAY)),
        callbacks=queries.count_deliveries(database, delivered=False),
        dead_letters=queries.count_dead_letters(database),
        unknown_outcomes=unknown,
        paused={f"{pause.kind} {pause.name}": pause.by for pause in pauses},
    )


def health_record(answer: HealthAnswer | None) -> dict[str, Any] | None:
    """Return the answer of the health port as JSON; ``None`` if none answers, or the Telecine there is another one."""
    if answer is None or not answer.same_ledger:
        return None
    return {"address": answer.address, "status": answer.status, "checks": answer.checks}


def _reasons(
    open_jobs: Mapping[tuple[str, str], int],
    calls: Mapping[tuple[str, str], int],
    unknown: int,
    paused_providers: Collection[str],
) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (doing, role), number in open_jobs.items():
        if doing == "due":
            found[f"a worker with role {role}"] += number
        elif doing == "scheduled":
            found["the time in not_before"] += number
        elif doing == "retrying":
            found["the next attempt"] += number
        elif doing == "paused":
            found["the end of a pause of their type"] += number
    parked = sum(number for (doing, _), number in open_jobs.items() if doing == "parked")
    for (provider, state), number in calls.items():
        if state != CallState.UNKNOWN:
            queued = "which is paused" if provider in paused_providers else "in its queue here"
            found[f"{provider}, {queued if state == CallState.QUEUED else 'working on it'}"] += number
            parked -= number
    if unknown:
        found["a decision about an unknown outcome"] = unknown
        parked -= unknown
    if parked > 0:
        found["a provider"] = parked
    return dict(found.most_common())


def _ended(hour: Mapping[tuple[str, str], int], day: Mapping[tuple[str, str], int]) -> list[Ended]:
    found = [Ended(state, code, hour.get((state, code), 0), number) for (state, code), number in day.items()]
    return sorted(found, key=lambda one: (-one.last_hour, -one.last_day, one.state, one.code))
