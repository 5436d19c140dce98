"""The process in which media from outside is decoded: ``python -m pipelines.media.child``.

It reads one JSON object from standard input and writes JSON lines to standard output: any number of
``{"progress": 0.5}``, then one ``{"result": {...}}`` or one ``{"error": {"code", "message", "field"}}``.
It bounds itself before it opens anything, so that a hostile file costs no more than the bounds.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pipelines.media.sandbox.rlimits import bound_self, die_with_parent
from schemas.errors import InternalError, OutOfMemory, RenderFailed, TelecineError

_REPORT_SECONDS = 0.1


class _Reports:
    """The JSON lines, on a descriptor of their own: output of libraries goes to standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        os.dup2(2, 1)
        self._said, self._due = 0.0, 0.0

    def progress(self, done: float) -> None:
        now, done = time.monotonic(), round(min(done, 1.0), 4)
        if done > self._said and (now >= self._due or done == 1):
            self._said, self._due = done, now + _REPORT_SECONDS
            self.say(progress=done)

    def say(self, **record: Any) -> None:
        self._stream.write(json.dumps(record) + "\n")


def main() -> int:
    """Do the task on standard input. Return the exit status: 0 with a result, 1 with an error."""
    task = json.load(sys.stdin)
    die_with_parent(task["parent"])()
    bound_self(**task["bounds"])
    reports = _Reports()
    try:
        reports.say(result=_do(task, reports))
        return 0
    except MemoryError:
        error: TelecineError = OutOfMemory()
    except TelecineError as reported:
        error = reported
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            error = InternalError("the worker has no disk space left for this job")
        elif fault.errno == errno.ENOMEM:
            error = OutOfMemory()
        else:
            error = _defect(fault)
    except Exception as fault:
        error = _defect(fault)
    reports.say(error={"code": error.code, "message": error.message, "field": error.field})
    return 1


def _do(task: dict[str, Any], reports: _Reports) -> dict[str, Any]:
    # Imported behind the bounds, and only here: numpy, PyAV and HarfBuzz.
    if task["do"] == "probe":
        from pipelines.media.inspect.film_facts import facts_of

        return facts_of(Path(task["path"]), task["kind"])
    if task["do"] == "measure":
        from pipelines.media.inspect.sound import measure

        return {"duration_seconds": measure(Path(task["path"]), task["kind"]).seconds}
    if task["do"] == "decode":
        from pipelines.media.inspect.decoded import decode

        return decode(task)
    if task["do"] == "captions":
        from pipelines.media.captions.files import write_captions

        return write_captions(task)
    from pipelines.media.reel_film import Film, plan_film, render_film

    # The encoder's threads work mostly outside the interpreter; a thread that returns should not wait 5 ms for it.
    sys.setswitchinterval(0.001)
    film = Film.from_json(task["film"])
    return plan_film(film) if task["do"] == "plan" else render_film(film, reports.progress)


def _defect(fault: Exception) -> RenderFailed:
    import traceback

    traceback.print_exc(file=sys.stderr)
    return RenderFailed(f"the renderer failed with {type(fault).__name__}; check the media in another player")


if __name__ == "__main__":
    # Threads of an aborted encoder must not keep the process: nothing is left to be tidied.
    status = main()
    sys.stderr.flush()
    os._exit(status)
