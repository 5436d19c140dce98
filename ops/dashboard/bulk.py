"""One action on everything that a filter lets through: confirmed by its number, then done in the background."""

from __future__ import annotations

import functools
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from starlette.responses import Response

from consumer.ledger import dead_letters, outbox
from consumer.ledger.deletion import delete_dead_letters
from consumer.ledger.queries import delivery_ids, find_job, job_ids
from consumer.ledger.states import OPEN, RETRYABLE, TERMINAL, DeliveryState, State
from consumer.logs import logger
from consumer.retention.job_deleter import JobDeleter
from ops.cancelling import cancel_now
from ops.dashboard.access import Visitor
from ops.dashboard.filters import JobFilter
from ops.dashboard.view import Dashboard, View
from ops.dead_letter_replay import dead_letter_replay
from ops.edge.refusal import Refusal
from ops.formatting import count
from ops.retrying import retry_jobs
from schemas.errors import InvalidField, TelecineError

log = logger(__name__)

#: Most things that one action changes; the oldest come first.
_MOST = 10_000
_MOST_RUNS = 100
_MOST_REFUSED = 50
_AT_ONCE = 100


@dataclass(slots=True)
class Run:
    """One action that is being done, or was done, by this process."""

    title: str
    total: int
    #: The tenant of who started it; ``None`` if that person sees everything.
    tenant: str | None
    done: int = 0
    refused_count: int = 0
    #: The first refusals: what, and why.
    refused: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one thing; ``refused`` is the reason why it was not done."""

    name: str
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """An action on many things."""

    #: What it does and to what: ``Retry``, ``job``.
    verb: str
    noun: str
    #: What a person should know before.
    note: str
    choose: Callable[[View], tuple[str, Sequence[str]]]
    act: Callable[[Dashboard, Sequence[str], Visitor], Iterator[Result]]
    #: Whether tenants may use it for their own jobs.
    for_tenants: bool = False


_RUNS: dict[str, Run] = {}


def page(view: View) -> Response:
    """Return the page that names the action, its scope and its number, and asks for the number."""
    name, action = _action(view, view.query.get("action", ""))
    scope, chosen = action.choose(view)
    return _confirm(view, name, scope, chosen, problem="")


def start(view: View) -> Response:
    """Do it, if the number that was typed is the number of things that the filter lets through now."""
    name, action = _action(view, view.form.get("action", ""))
    scope, chosen = action.choose(view)
    typed = view.form.get("typed", "").strip()
    if typed != str(len(chosen)) or not chosen:
        now = f"There are {count(len(chosen), action.noun)} now; type {len(chosen)}."
        return _confirm(view, name, scope, chosen, problem=now if chosen else "")
    run_id = secrets.token_urlsafe(9)
    run = Run(f"{action.verb} {count(len(chosen), action.noun)}: {scope}", len(chosen), view.visitor.tenant)
    for oldest in list(_RUNS)[: 1 - _MOST_RUNS]:
        _RUNS.pop(oldest, None)
    _RUNS[run_id] = run
    work = threading.Thread(target=_work, args=(view.dashboard, action, chosen, view.visitor, run), daemon=True)
    work.start()
    log.info("bulk_action_started", action=name, by=view.visitor.by, number=len(chosen), scope=scope)
    return view.redirect(f"/bulk/{run_id}")


def progress(view: View) -> Response:
    """Return how far an action is."""
    run = _RUNS.get(str(view.parameters["run_id"]))
    if run is None or view.visitor.tenant not in (None, run.tenant):
        raise Refusal(
            404,
            "run_not_found",
            "This process does not know this action; the timelines of the jobs show what was done.",
        )
    return view.render("bulk_progress.html", run=run, left=run.refused_count - len(run.refused))


def _confirm(view: View, name: str, scope: str, chosen: Sequence[str], *, problem: str) -> Response:
    action = _ACTIONS[name]
    filled = view.form or view.query
    return view.render(
        "bulk.html",
        name=name,
        verb=action.verb,
        note=action.note,
        noun=action.noun,
        scope=scope,
        number=len(chosen),
        most=_MOST,
        fields={key: filled[key] for key in ("state", "type", "tenant", "code", "since") if filled.get(key)},
        problem=problem,
    )


def _action(view: View, name: str) -> tuple[str, Action]:
    action = _ACTIONS.get(name)
    if action is None:
        raise InvalidField(f"action: must be one of {', '.join(_ACTIONS)}", field="action")
    if not action.for_tenants:
        view.require_operator()
    return name, action


def _work(dashboard: Dashboard, action: Action, chosen: Sequence[str], visitor: Visitor, run: Run) -> None:
    try:
        for result in action.act(dashboard, chosen, visitor):
            run.done += 1
            if result.refused is not None:
                run.refused_count += 1
                if len(run.refused) < _MOST_REFUSED:
                    run.refused.append((result.name, result.refused))
    except Exception as error:
        run.failure = f"It stopped after {run.done}: {type(error).__name__}. What is done stays done."
        log.warning("bulk_action_failed", exc_info=True)
    finally:
        run.ended = True
        dashboard.changed()


def _jobs(states: Collection[State], view: View) -> tuple[str, Sequence[str]]:
    """Choose those in one of the states: among the oldest of all jobs may be none that the action changes."""
    wanted = JobFilter.parse(view.form or view.query)
    if view.visitor.tenant is not None:
        wanted = replace(wanted, tenant=view.visitor.tenant)
    chosen = [state.value for state in states if not wanted.states or state.value in wanted.states]
    conditions = wanted.conditions(view.database.now()) | {"states": chosen}
    return wanted.words(), job_ids(view.database, **conditions, limit=_MOST) if chosen else []


def _callbacks(view: View) -> tuple[str, Sequence[str]]:
    state = (view.form or view.query).get("state", "")
    if state not in set(DeliveryState):
        raise InvalidField(f"state: must be one of {', '.join(DeliveryState)}", field="state")
    return f"{state} callbacks", delivery_ids(view.database, state=state, limit=_MOST)


def _letters(view: View) -> tuple[str, Sequence[str]]:
    code = (view.form or view.query).get("code") or None
    scope = "dead letters that were not replayed" + (f" with code {code}" if code else "")
    return scope, list(map(str, dead_letters.pending_numbers(view.database, code=code, limit=_MOST)))


def _retry(dashboard: Dashboard, chosen: Sequence[str], visitor: Visitor) -> Iterator[Result]:
    for item in retry_jobs(dashboard.database, chosen, by=visitor.by):
        yield Result(item.job_id, None if item.refused is None else item.refused.message)


def _cancel(dashboard: Dashboard, chosen: Sequence[str], visitor: Visitor) -> Iterator[Result]:
    for job_id in chosen:
        try:
            cancel_now(dashboard.database, job_id, by=visitor.by)
        except TelecineError as error:
            yield Result(job_id, error.message)
        else:
            yield Result(job_id)


def _delete(dashboard: Dashboard, chosen: Sequence[str], visitor: Visitor) -> Iterator[Result]:
    deleter = JobDeleter(dashboard.settings, dashboard.database, dashboard.runtime.storage)
    for job_id in chosen:
        job = find_job(dashboard.database, job_id)
        yield Result(job_id, None if job is None else deleter.delete(job).kept)


def _replay_callbacks(dashboard: Dashboard, chosen: Sequence[str], visitor: Visitor) -> Iterator[Result]:
    for begin in range(0, len(chosen), _AT_ONCE):
        some = chosen[begin : begin + _AT_ONCE]
        outbox.replay(dashboard.database, some, by=visitor.by)
        yield from (Result(webhook_id) for webhook_id in some)


def _replay_letters(dashboard: Dashboard, chosen: Sequence[str], visitor: Visitor) -> Iterator[Result]:
    replay = dead_letter_replay(dashboard.runtime, by=visitor.by)
    for number in chosen:
        letter = dead_letters.find(dashboard.database, int(number))
        if letter is None:
            yield Result(number, "it was dismissed meanwhile")
            continue
        refused = replay(letter).refused
        yield Result(number, None if refused is None else f"{refused.code}: {refused.message}")


def _dismiss_letters(dashboard: Dashboard, chosen: Sequence[str], visitor: Visitor) -> Iterator[Result]:
    for begin in range(0, len(chosen), _AT_ONCE):
        some = chosen[begin : begin + _AT_ONCE]
        delete_dead_letters(dashboard.database, [int(number) for number in some])
        yield from (Result(number) for number in some)


_ACTIONS: Mapping[str, Action] = {
    "retry": Action(
        "Retry",
        "job",
        "Done steps and paid results are kept. Completed and open jobs are not counted.",
        functools.partial(_jobs, RETRYABLE),
        _retry,
        for_tenants=True,
    ),
    "cancel": Action(
        "Cancel",
        "job",
        "Jobs that have ended are not counted.",
        functools.partial(_jobs, OPEN),
        _cancel,
        for_tenants=True,
    ),
    "delete": Action(
        "Delete",
        "job",
        "The jobs and their files are gone for good. Open jobs are not counted.",
        functools.partial(_jobs, TERMINAL),
        _delete,
        for_tenants=True,
    ),
    "replay-callbacks": Action(
        "Replay", "callback", "They are sent again with the same webhook-id.", _callbacks, _replay_callbacks
    ),
    "replay-dead-letters": Action(
        "Replay", "dead letter", "What is refused again stays a dead letter.", _letters, _replay_letters
    ),
    "dismiss-dead-letters": Action(
        "Dismiss",
        "dead letter",
        "They are deleted with their bytes, and cannot be replayed.",
        _letters,
        _dismiss_letters,
    ),
}
