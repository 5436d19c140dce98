"""Actions on one thing. Each is the function that the command of the same name calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from starlette.responses import Response

from consumer.ledger import outbox, pauses, retries
from consumer.ledger.deletion import delete_dead_letters
from consumer.ledger.pauses import PauseKind
from consumer.ledger.queries import find_delivery, find_job
from consumer.ledger.records import Job
from consumer.retention.job_deleter import JobDeleter
from ops.cancelling import cancel_now
from ops.dashboard.dead_letters import named_letter
from ops.dashboard.filters import known_types
from ops.dashboard.view import View
from ops.dead_letter_replay import dead_letter_replay
from ops.edge.refusal import Refusal
from ops.resolving import settle, unknown_call
from providers.registry import provider_names
from schemas.errors import InvalidField


def act_on_job(view: View) -> Response:
    """Retry, cancel, delete or settle the job."""
    job = view.job()
    action = _ACTIONS.get(str(view.parameters["action"]))
    if action is None:
        raise Refusal(404, "not_found", "There is no such action.")
    path = action(view, job)
    view.dashboard.changed()
    return view.redirect(path)


def replay_callback(view: View) -> Response:
    """Send a callback again."""
    webhook_id = str(view.parameters["webhook_id"])
    delivery = find_delivery(view.database, webhook_id)
    job = None if delivery is None or delivery.job_id is None else find_job(view.database, delivery.job_id)
    if delivery is None or (view.visitor.tenant is not None and (job is None or not view.visitor.may_see(job))):
        raise Refusal(404, "callback_not_found", "There is no such callback; its job may have been deleted.")
    outbox.replay(view.database, [webhook_id], by=view.visitor.by)
    view.dashboard.changed()
    return view.redirect(f"/callbacks/{quote(webhook_id, safe='')}")


def act_on_dead_letter(view: View) -> Response:
    """Replay or dismiss a dead letter."""
    letter = named_letter(view)
    action = view.parameters["action"]
    if action == "dismiss":
        delete_dead_letters(view.database, [letter.seq])
        view.dashboard.changed()
        return view.redirect("/dead-letters")
    if action != "replay":
        raise Refusal(404, "not_found", "There is no such action.")
    result = dead_letter_replay(view.dashboard.runtime, by=view.visitor.by)(letter)
    view.dashboard.changed()
    if result.refused is not None:
        raise result.refused
    return view.redirect(f"/jobs/{quote(result.job_id, safe='')}" if result.job_id else "/dead-letters")


def pause_or_resume(view: View) -> Response:
    """Pause or resume a job type or a provider."""
    view.require_operator()
    kind, name = view.form.get("kind", ""), view.form.get("name", "")
    known = {"type": known_types(), "provider": sorted(provider_names())}.get(kind, [])
    if kind in set(PauseKind) and view.form.get("do") == "resume":
        pauses.resume(view.database, PauseKind(kind), name)
    elif name not in known:
        raise InvalidField(f"name: must be one of {', '.join(known)}", field="name")
    else:
        pauses.pause(view.database, PauseKind(kind), name, by=view.visitor.by)
    view.dashboard.changed()
    return view.redirect("/providers")


def _retry(view: View, job: Job) -> str:
    retries.retry(view.database, job.id, by=view.visitor.by, pay_again=view.form.get("pay_again") == "1")
    return _page_of(job)


def _cancel(view: View, job: Job) -> str:
    cancel_now(view.database, job.id, by=view.visitor.by)
    return _page_of(job)


def _delete(view: View, job: Job) -> str:
    deleted = JobDeleter(view.settings, view.database, view.dashboard.runtime.storage).delete(job)
    if deleted.kept is not None:
        raise Refusal(409, "not_deleted", f"The job was not deleted: {deleted.kept}.")
    return "/jobs"


def _settle(view: View, job: Job) -> str:
    view.require_operator()
    how = view.form.get("how", "")
    if how not in ("resubmit", "fail", "adopt"):
        raise InvalidField("how: must be one of resubmit, fail, adopt", field="how")
    adopt = view.form.get("task", "").strip() if how == "adopt" else None
    call = unknown_call(view.database, job.id, key=view.form.get("call", ""))
    settle(
        view.dashboard.runtime.catalogue,
        view.database,
        call,
        by=view.visitor.by,
        resubmit=how == "resubmit",
        adopt=adopt,
    )
    return _page_of(job)


def _page_of(job: Job) -> str:
    return f"/jobs/{quote(job.id, safe='')}"


_ACTIONS: Mapping[str, Callable[[View, Job], str]] = {
    "retry": _retry,
    "cancel": _cancel,
    "delete": _delete,
    "settle": _settle,
}
