"""Failpoints: named places where a crash matters. Inactive unless an environment variable arms one.

``TELECINE_FAILPOINT=door.committed:kill`` kills the process with SIGKILL when it reaches the failpoint; ``…:raise``
raises, ``…:sleep=2`` waits, ``…:memory`` raises ``MemoryError``. With ``TELECINE_FAILPOINT_ONCE=/path`` this happens
once: the file is created first, and while it exists the failpoint is inactive. The chaos tests cover every name below.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

#: Every failpoint of a job, in the order in which it reaches them.
FAILPOINTS = (
    "door.received",  # messages are received, nothing is written
    "door.before_commit",  # the rows are written, not committed
    "door.committed",  # the job is in the ledger, the message not yet acknowledged
    "door.acknowledged",  # the message is acknowledged, no wake-up is sent
    "advance.claimed",  # the lease is acquired, nothing is done
    "advance.input_fetched",  # the inputs are on disk
    "advance.step_started",  # the step is recorded as running
    "advance.rendered",  # the files are made, none is stored
    "advance.stored_one",  # the first file is in storage, the step not recorded
    "advance.stored_all",  # all files are in storage, the step not recorded
    "advance.step_recorded",  # the step is recorded as done, the pipeline continues
    "advance.before_manifest",  # the state is storing, the manifest is not written
    "advance.after_manifest",  # the manifest is in storage, the job has not ended
    "advance.before_finish",  # the outcome is ready, not committed
    "outbox.queued",  # outcome and callback are committed, which is not announced to the outbox
    "advance.finished",  # outcome and callback are committed
    "outbox.claimed",  # a callback is claimed, not sent
    "outbox.sent",  # the receiver has responded, nothing is recorded
    "outbox.recorded",  # the delivery is recorded
)

#: The failpoints of several short jobs that one worker claimed together.
GROUP_FAILPOINTS = (
    "group.claimed",  # their leases are acquired, the first has begun
    "group.ended_one",  # the end of one is written, not committed; the next has not begun
    "group.begun",  # the next has begun
)

#: The failpoints of manifests that are flushed to the disk after their jobs have ended.
FLUSH_FAILPOINTS = ("manifests.flushed",)  # they are on the disk, the ledger still keeps them

#: The failpoints of a provider call, from the pipeline's request to the settled call.
CALL_FAILPOINTS = (
    "call.wanted",  # the pipeline needs a provider call, nothing is written
    "call.parked",  # the call is in the ledger and its job parked, nothing is sent
    "call.intended",  # the intent is written, nothing is sent
    "call.accepted",  # the provider has accepted, its task is not recorded
    "call.recorded",  # the task is recorded
    "call.ready",  # the provider is done, which is not recorded
    "call.fetched",  # the result is in storage, the call is not settled
    "call.settled",  # the call is settled, its job not woken
    "call.looked_up",  # an unknown outcome was looked up, which is not recorded
)

#: The failpoints of an S3 event, between the door and the worker.
UPLOAD_FAILPOINTS = (
    "upload.decided",  # the upload is decided, nothing is written
    "upload.settled",  # its job is in the ledger, no wake-up is sent
)

#: The failpoints of a local model call, while it has the model host's lock.
LOCAL_FAILPOINTS = (
    "local.loaded",  # the model is loaded, nothing is generated
    "local.step",  # a step of the model is done
    "local.made",  # generation is done, no file is written
)


class FailpointReached(RuntimeError):
    """An armed failpoint with the action ``raise`` was reached."""


def failpoint(name: str) -> None:
    """Run the action that the environment arms ``name`` with, if any."""
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


def local_failpoint(event: str) -> None:
    """Reach the failpoint of an event of the model host."""
    if event == "loaded":
        failpoint("local.loaded")
    elif event == "step":
        failpoint("local.step")
    elif event == "made":
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
