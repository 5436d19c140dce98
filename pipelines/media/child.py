"""The child process that decodes media from outside: ``python -m pipelines.media.child``.

It reads one JSON object from standard input: ``{"task", "arguments", "bounds", "parent"}``. It writes JSON lines to
standard output: any number of ``{"progress": 0.5}``, then one ``{"result": {...}}``, one
``{"error": {"code", "message", "field", "outage"}}``, or one ``{"died": -9, "last_line": ""}``: the signal that ended
its ffmpeg. It applies its limits before it opens any file, so that a hostile file cannot use more than they allow. The
parent's side is ``sandbox/process.py``.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pipelines.media.encode.ffmpeg import FfmpegDied
from pipelines.media.sandbox.process import Task
from pipelines.media.sandbox.rlimits import bound_self, die_with_parent
from schemas.errors import InternalError, OutOfMemory, RenderFailed, RenderInterrupted, TelecineError
from schemas.errors.disk import as_disk_error

#: This machine has no processes or threads, or no file descriptors left.
_EXHAUSTED = (errno.EAGAIN, errno.EMFILE, errno.ENFILE)
#: The arguments that are paths of media.
_INPUTS = {"path", "image", "audio"}
_PIECE_BYTES = 1024**2
#: Shortest time between two progress messages, in seconds.
_PROGRESS_SECONDS = 0.1


class _Messages:
    """Writes JSON lines to the parent, and redirects the output of libraries to standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        os.dup2(2, 1)
        self._last_progress, self._next_progress_at = 0.0, 0.0

    def progress(self, share: float) -> None:
        """Report a share from 0 to 1, unless the last report was a moment ago; the final 1 is always reported."""
        now, share = time.monotonic(), round(min(share, 1.0), 4)
        if share > self._last_progress and (now >= self._next_progress_at or share == 1):
            self._last_progress, self._next_progress_at = share, now + _PROGRESS_SECONDS
            self.send(progress=share)

    def send(self, **message: Any) -> None:
        """Write one message."""
        self._stream.write(json.dumps(message) + "\n")


def main() -> int:
    """Run the task on standard input. Return the exit status: 0 with a result, 1 with an error."""
    job = json.load(sys.stdin)
    die_with_parent(job["parent"])()
    bound_self(**job["bounds"])
    messages = _Messages()
    try:
        messages.send(result=_run(Task(job["task"]), job["arguments"], messages))
        return 0
    except FfmpegDied as death:
        messages.send(died=death.status, last_line=death.last_line)
        return 1
    except Exception as fault:
        error = _as_telecine_error(_read_fault(job["arguments"]) or fault)
    messages.send(error={"code": error.code, "message": error.message, "field": error.field, "outage": error.outage})
    return 1


def _run(task: Task, arguments: dict[str, Any], messages: _Messages) -> dict[str, Any]:
    # numpy, PyAV and HarfBuzz are imported here, after the limits are applied, and only if the task needs them.
    if task is Task.PROBE:
        from pipelines.media.inspect.film_facts import facts_of

        return facts_of(Path(arguments["path"]), arguments["kind"])
    if task is Task.MEASURE:
        from pipelines.media.inspect.sound import measure

        return {"duration_seconds": measure(Path(arguments["path"]), arguments["kind"]).seconds}
    if task is Task.DECODE:
        from pipelines.media.inspect.decode import decode

        return decode(Path(arguments["path"]), arguments["kind"], Path(arguments["target"]))
    if task is Task.SPREAD:
        from pipelines.media.captions.spread import spread_lyrics

        return spread_lyrics(arguments)
    if task is Task.ALIGN:
        from pipelines.media.align.aligner import align_lyrics

        return align_lyrics(arguments, messages.progress)
    if task is Task.CAPTIONS:
        from pipelines.media.captions.files import write_captions

        return write_captions(arguments)
    if task is Task.CONVERT:
        from providers.local.convert import convert

        return {"written": [str(file) for file in convert(arguments["name"], Path(arguments["folder"]))]}
    if task is Task.SOUND:
        from pipelines.media.film_sound import write_sound

        return write_sound(arguments)
    return _run_reel(task, arguments, messages)


def _run_reel(task: Task, arguments: dict[str, Any], messages: _Messages) -> dict[str, Any]:
    aac_process = None
    if task is Task.RENDER:
        # The sound takes longest, in processes of its own: they start before the other modules are imported.
        from pipelines.media.film_sound import start_unchanged_song

        aac_process = start_unchanged_song(arguments)
    from pipelines.media.film import Film
    from pipelines.media.reel_film import plan_film, render_film

    if task in (Task.PREVIEW, Task.COVER):
        from pipelines.media.contact_sheet import write_contact_sheet, write_cover

        return (write_cover if task is Task.COVER else write_contact_sheet)(Film.from_json(arguments))

    # Encoder threads spend most of their time outside the interpreter. At Python's default switch interval, a thread
    # that returns waits up to 5 ms for the interpreter lock.
    sys.setswitchinterval(0.001)
    gc.freeze()  # what was imported is not searched for garbage again
    film = Film.from_json(arguments)
    return plan_film(film) if task is Task.PLAN else render_film(film, messages.progress, aac_process)


def _read_fault(arguments: dict[str, Any]) -> OSError | None:
    """Return the error of reading an input to its end, or ``None`` if it can be read.

    FFmpeg treats the part of a file that a broken disk does not return as the end of the file, or as damaged.
    """
    scene = arguments.get("scene", {})
    further = [image["path"] for image in (*scene.get("images", ()), scene.get("watermark")) if image]
    for path in (*(arguments[name] for name in _INPUTS & arguments.keys()), *further):
        try:
            with open(path, "rb", buffering=0) as file:
                while file.read(_PIECE_BYTES):
                    pass
        except OSError as error:
            return error
    return None


def _as_telecine_error(fault: Exception) -> TelecineError:
    """Return the error to report for ``fault``; an unexpected one is logged with its traceback."""
    if isinstance(fault, TelecineError):
        return fault
    if isinstance(fault, MemoryError) or (isinstance(fault, OSError) and fault.errno == errno.ENOMEM):
        return OutOfMemory()
    if (disk_error := as_disk_error(fault)) is not None:
        return disk_error
    import traceback

    traceback.print_exception(fault, file=sys.stderr)
    if (isinstance(fault, OSError) and fault.errno in _EXHAUSTED) or "can't start new thread" in str(fault):
        return RenderInterrupted("the worker has no threads, processes or open files left for this job; will retry")
    if isinstance(fault, ImportError):
        return InternalError(f"the installation of Telecine is incomplete: {fault.name} cannot be imported")
    return RenderFailed(f"the renderer failed with {type(fault).__name__}; check the media in another player")


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Exit at once: a normal exit would wait for the threads of an aborted encoder.
    os._exit(status)
