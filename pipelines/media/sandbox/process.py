"""The parent's side of the media child process: start it with its task and no secrets, watch it, end it."""

from __future__ import annotations

import contextlib
import enum
import itertools
import json
import os
import selectors
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pipelines
from schemas.errors import (
    InternalError,
    OutOfMemory,
    RenderFailed,
    RenderInterrupted,
    RenderKilled,
    RenderTimeout,
    TelecineError,
    error_for,
)

_MODULE = "pipelines.media.child"
_ROOT = str(Path(pipelines.__file__).parent.parent)
#: How often the caller's ``progress`` is called while the child sends no messages, so that the caller can cancel.
_HEARTBEAT_SECONDS = 1.0
_LOG_TAIL_BYTES = 4000
_LINE_CHARACTERS = 300
#: Signals that stop a service. They are never caused by the media.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
#: Signals of a crash. The media may be the cause, or this machine: the child is started again to find out.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS)
#: How often a child is started that crashes each time, or that is killed: by a person, or by the kernel because memory
#: ran out, for which another process may be the reason.
_ATTEMPTS: dict[int, int] = {**dict.fromkeys(_CRASHES, 3), signal.SIGKILL: 2}


class Task(enum.StrEnum):
    """What the child is to do; ``child.py`` maps each task to its function."""

    #: Decode a finished video or picture and return its facts.
    PROBE = "probe"
    #: Decode audio and return its length.
    MEASURE = "measure"
    #: Decode a picture and re-encode it as PNG.
    DECODE = "decode"
    #: Spread lyrics over an audio file by where it may have a voice.
    SPREAD = "spread"
    #: Align lyrics with an audio file.
    ALIGN = "align"
    #: Write the caption files of an audio file.
    CAPTIONS = "captions"
    #: Read the inputs of a reel and return its sizes and counts.
    PLAN = "plan"
    #: Draw the captions of a reel as a contact sheet.
    PREVIEW = "preview"
    #: Encode the sound under a film.
    SOUND = "sound"
    #: Draw the cover of a reel.
    COVER = "cover"
    #: Render a reel.
    RENDER = "render"
    #: Convert pickled weights to safetensors.
    CONVERT = "convert"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one child process.

    ``memory_bytes`` limits address space, of which libraries reserve more than they use. ``wall_seconds`` is enforced
    by the parent, the others by the kernel.
    """

    wall_seconds: float = 1800.0
    cpu_seconds: int = 7200
    memory_bytes: int = 4 * 1024**3
    file_bytes: int = 4 * 1024**3


#: Enough for a reel of several hours. A worker takes its bounds from its settings.
DEFAULT_BOUNDS = Bounds()


def run_child(
    task: Task,
    arguments: dict[str, Any],
    folder: Path,
    bounds: Bounds = DEFAULT_BOUNDS,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Run ``task`` in a child process that works in ``folder``, and return its result.

    The child has its own process group and an environment without secrets, and is killed when this process ends.
    ``progress`` is called with shares from 0 to 1 at least once a second; an exception that it raises ends the child
    and propagates.

    Raises:
        TelecineError: The child reported this error.
        RenderTimeout: The child took longer than the bounds allow, and was killed.
        OutOfMemory: The child needed more memory than the bounds allow.
        RenderKilled: The child or its ffmpeg was killed twice.
        RenderInterrupted: Another signal from outside ended the child or its ffmpeg.
        RenderFailed: The child crashed several times, or ended for another reason without a result.
    """
    limits = asdict(bounds)
    deadline = time.monotonic() + limits.pop("wall_seconds")
    order = {"task": task, "arguments": arguments, "bounds": limits, "parent": os.getpid()}
    log = folder / "render.log"
    for attempt in itertools.count(1):
        status, message = _run_once(order, folder, log, deadline, progress)
        if "result" in message:
            log.unlink(missing_ok=True)
            result: dict[str, Any] = message["result"]
            return result
        if "error" in message:
            raise _reported_error(message["error"], task, log)
        _log_end(task, status, attempt, log)
        error = _exit_error(status, message.get("last_line", ""), log)
        if not isinstance(error, RenderFailed | RenderKilled) or attempt >= _ATTEMPTS.get(-status, 1):
            raise error
    raise AssertionError("unreachable")


def _run_once(
    order: dict[str, Any], folder: Path, log: Path, deadline: float, progress: Callable[[float], None] | None
) -> tuple[int, dict[str, Any]]:
    """Run the child; return its exit status, or that of the ffmpeg that a signal ended, and its final message."""
    child = _start(folder, log)
    try:
        _send_task(child, order)
        message = _read_messages(child, deadline, progress)
    finally:
        _stop(child)
    message = message or {}
    status: int = message["died"] if "died" in message else child.wait()
    return status, message


def _start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as errors, _signals_blocked():
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=_environment(folder),
            process_group=0,
        )


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that stop a service, so that a process started here inherits that, and its ffmpeg too.

    A service manager sends them to all processes of a service. This process decides when a child ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment(folder: Path) -> dict[str, str]:
    environment = {
        # PYTHONPATH precedes the standard library, so site-packages must not be in it.
        **({} if _ROOT in site.getsitepackages() else {"PYTHONPATH": _ROOT}),
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        # One thread each: more threads reserve address space and make nothing faster here.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment


def _send_task(child: subprocess.Popen[bytes], task: dict[str, Any]) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(task).encode())
        child.stdin.close()
    except BrokenPipeError:
        pass  # the child has already ended: its exit status gives the reason


def _read_messages(
    child: subprocess.Popen[bytes], deadline: float, progress: Callable[[float], None] | None
) -> dict[str, Any] | None:
    """Pass the child's progress on; return its final message, or ``None`` if it ended without one."""
    assert child.stdout is not None
    report = progress or (lambda _: None)
    done, text = 0.0, b""
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise RenderTimeout()
            if ready.select(min(left, _HEARTBEAT_SECONDS)):
                chunk = os.read(child.stdout.fileno(), 65536)
                if not chunk:
                    return None
                *lines, text = (text + chunk).split(b"\n")
                for message in map(json.loads, lines):
                    if "progress" not in message:
                        report(done)  # the last progress may have arrived together with the final message
                        final: dict[str, Any] = message
                        return final
                    done = message["progress"]
            report(done)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and every process it started; after its final message it gets half a second to exit."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=0.5 if sys.exc_info()[0] is None else 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _reported_error(record: dict[str, Any], task: Task, log: Path) -> TelecineError:
    """Return the error that the child reported. The log gets what the child wrote about one that is unexpected."""
    error = error_for(record["code"], record["message"])
    error.outage = record["outage"]
    error.field = record["field"]
    if isinstance(error, RenderFailed):
        error.add_note(_tail(log))
        _log_end(task, 1, 1, log)
    return error


def _exit_error(status: int, last_line: str, log: Path) -> TelecineError:
    """Return the error for a child that ended with this exit status, or whose ffmpeg did, without a result."""
    tail = _tail(log)
    error: TelecineError
    if status == -signal.SIGXCPU:
        error = RenderTimeout()
    elif "MemoryError" in tail or "memory allocation" in tail:
        error = OutOfMemory()
    elif status == -signal.SIGKILL:
        error = RenderKilled()
    elif status > 0 and ("ImportError" in tail or "ModuleNotFoundError" in tail):
        error = InternalError("the installation of Telecine is incomplete: the media process cannot start; see the log")
    elif status >= 0 or -status in (*_CRASHES, signal.SIGXFSZ):
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        reason += f" ({last_line})" if last_line else ""
        error = RenderFailed(f"the renderer ended with {reason} on this input; check the media in another player")
    else:
        error = RenderInterrupted(f"the renderer was ended from outside by signal {-status}; will retry")
    error.add_note(tail)
    return error


def _log_end(task: Task, status: int, attempt: int, log: Path) -> None:
    """Log an end without a usable result, with the last line that the child or its ffmpeg wrote."""
    import structlog  # not at the top: the child imports this module too

    _log = structlog.get_logger()
    lines = _tail(log).split("\n")
    last_line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    _log.warning(
        "media_child_failed", task=str(task), status=status, tries=attempt, last_line=last_line[-_LINE_CHARACTERS:]
    )


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
