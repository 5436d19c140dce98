"""Settling a paid call whose outcome is unknown."""

from __future__ import annotations

import re

from consumer.ledger import call_resolution, calls
from consumer.ledger.call_records import CallRow
from consumer.ledger.database import Database
from consumer.ledger.states import CallState
from providers.catalogue import Catalogue
from schemas.errors import InvalidField, StepSettled

#: Rejects an empty id (an unset shell variable) and a slash (which would change the provider's URL).
_TASK = re.compile(r"[A-Za-z0-9._:~-]{1,200}")


def is_task_id(text: str) -> bool:
    """Return whether a provider's task may have this id."""
    return _TASK.fullmatch(text) is not None


def unknown_call(database: Database, job_id: str, *, key: str | None = None) -> CallRow:
    """Return the job's call with an unknown outcome: the one with this key, by default the last.

    Raises:
        StepSettled: It has none.
    """
    unknown = [call for call in calls.of_job(database, job_id) if call.state is CallState.UNKNOWN]
    found = [call for call in unknown if key in (None, call.id)]
    if not found:
        raise StepSettled(
            f"no call of job {job_id!r} has an unknown outcome; `telecine explain {job_id}` shows its timeline"
        )
    return found[-1]


def settle(
    catalogue: Catalogue,
    database: Database,
    call: CallRow,
    *,
    by: str,
    resubmit: bool = False,
    adopt: str | None = None,
) -> str:
    """Resubmit the call, adopt a task, or else give it up; return what happens next as a sentence.

    Raises:
        StepSettled: The outcome is no longer unknown, or the job has ended.
        InvalidField: ``adopt`` is not a task's id, or belongs to another call.
    """
    what = f"step {call.step} of {call.job_id} ({call.model} of {call.provider})"
    if adopt is not None:
        if not is_task_id(adopt):
            raise InvalidField("the task's id is what the provider shows, such as 7f3a-12", field="adopt")
        model = catalogue.find(call.model, call.spec.type)
        call_resolution.adopt(database, call, adopt, by=by, give_up_seconds=model.timeout_seconds)
        return f"{what}: task {adopt} will be polled from now on."
    if resubmit:
        call_resolution.resubmit(database, call, by=by)
        return f"{what}: submitted again. If the provider had accepted the first call, both will be charged."
    call_resolution.write_off(database, call, by=by)
    return f"{what}: given up; the job fails with outcome_unknown."
