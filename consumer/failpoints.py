"""Named places where a crash matters. Inert, unless an environment variable arms one of them.

``TELECINE_FAILPOINT=door.committed:kill`` kills the process with SIGKILL when it gets there;
``…:raise`` raises, ``…:sleep=2`` waits, ``…:memory`` raises ``MemoryError``. With
``TELECINE_FAILPOINT_ONCE=/path`` it happens once: the file is made first, and where it exists the point is inert.
The chaos tests go through every name below.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

#: Every failpoint on the line a job travels, in the order in which a job meets them.
FAILPOINTS = (
    "door.received",  # bytes are here, nothing is written
    "door.before_commit",  # the rows are written, not committed
    "door.committed",  # the job is in the ledger, the message not yet acknowledged
    "door.acknowledged",  # the message is gone, no wake-up was sent
    "advance.claimed",  # the lease is taken, nothing is done
    "advance.input_fetched",  # the inputs are on the disk
    "advance.step_started",  # the step is noted as running
    "advance.rendered",  # the files are made, none is stored
    "advance.stored_one",  # the first file is in storage, the step not recorded
    "advance.stored_all",  # all files are in storage, the step not recorded
    "advance.step_recorded",  # the step is done, the pipeline goes on
    "advance.before_manifest",  # the state is storing, the manifest is not written
    "advance.after_manifest",  # the manifest is in storage, the job has not ended
    "advance.before_finish",  # the outcome is ready, not committed
    "advance.finished",  # outcome and callback are committed
    "outbox.claimed",  # a callback is taken, not sent
    "outbox.sent",  # the receiver has answered, nothing is recorded
    "outbox.recorded",  # the delivery is recorded
)

#: Those of a call of a remote provider, from the worker's wish to the settled receipt.
CALL_FAILPOINTS = (
    "call.wanted",  # the worker has decided to ask a provider, nothing is written
    "call.parked",  # the call is in the ledger and its job parked, nothing is sent
    "call.intended",  # the intent is written, nothing is sent
    "call.accepted",  # the provider has accepted, its task is not recorded
    "call.recorded",  # the task is recorded
    "call.ready",  # the provider is done, that is not recorded
    "call.fetched",  # the result is in storage, the call is not settled
    "call.settled",  # the call is settled, its job not woken
    "call.looked_up",  # an unknown outcome was looked up, that is not recorded
)

#: Those that only an S3 event meets, between the door and the worker.
UPLOAD_FAILPOINTS = (
    "upload.decided",  # the object was looked at, nothing is written
    "upload.settled",  # its job is in the ledger, no wake-up was sent
)

#: Those of a call of a local model, under the host's lock.
LOCAL_FAILPOINTS = (
    "local.loaded",  # the model is loaded or was warm, nothing is generated
    "local.step",  # a step of the model is done
    "local.made",  # the model is done, no file is made of it
)


class FailpointReached(RuntimeError):
    """An armed failpoint with the action ``raise`` was met."""


def failpoint(name: str) -> None:
    """Does what the environment arms ``name`` with; otherwise nothing."""
    armed, once = _armed()
    if armed is None:
        return
    wanted, _, action = armed.partition(":")
    if wanted != name or not _first_time(once):
        return
    if action in ("", "kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.startswith("sleep="):
        time.sleep(float(action.removeprefix("sleep=")))
    elif action == "memory":
        raise MemoryError(name)
    else:
        raise FailpointReached(name)


def local_failpoint(moment: str) -> None:
    """The failpoint of a moment that the model host tells of."""
    if moment == "loaded":
        failpoint("local.loaded")
    elif moment == "step":
        failpoint("local.step")
    elif moment == "made":
        failpoint("local.made")


def _armed() -> tuple[str | None, str | None]:
    armed, path = os.environ.get("TELECINE_FAILPOINT"), os.environ.get("TELECINE_FAILPOINT_FILE")
    if path is None:
        return armed, os.environ.get("TELECINE_FAILPOINT_ONCE")
    try:
        armed, _, once = Path(path).read_text().partition("\n")
    except OSError:
        return None, None
    return armed.strip(), once.strip() or None


def _first_time(marker: str | None) -> bool:
    if marker is None:
        return True
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True
