"""The parent's side of the media child process: start it with its task and no secrets, watch it, end it."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pipelines
from schemas.errors import OutOfMemory, RenderFailed, RenderTimeout, error_for

_MODULE = "pipelines.media.child"
_ROOT = str(Path(pipelines.__file__).parent.parent)
#: How often the caller's ``progress`` is called while the child sends no messages, so that the caller can cancel.
_HEARTBEAT_SECONDS = 1.0
_LOG_TAIL_BYTES = 4000


class Task(enum.StrEnum):
    """What the child is to do; ``child.py`` maps each task to its function."""

    #: Decode a finished video or picture and return its facts.
    PROBE = "probe"
    #: Decode audio and return its length.
    MEASURE = "measure"
    #: Decode a picture and re-encode it as PNG.
    DECODE = "decode"
    #: Align lyrics with an audio file.
    ALIGN = "align"
    #: Write the caption files of an audio file.
    CAPTIONS = "captions"
    #: Read the inputs of a reel and return its sizes and counts.
    PLAN = "plan"
    #: Render a reel.
    RENDER = "render"


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
        RenderFailed: The child ended for another reason without a result.
    """
    limits = asdict(bounds)
    deadline = time.monotonic() + limits.pop("wall_seconds")
    log = folder / "render.log"
    child = _start(folder, log)
    try:
        _send_task(child, {"task": task, "arguments": arguments, "bounds": limits, "parent": os.getpid()})
        message = _read_messages(child, deadline, progress)
    finally:
        _stop(child)
    if message is None:
        raise _exit_error(child.returncode, log)
    if "error" in message:
        error = error_for(message["error"]["code"], message["error"]["message"])
        error.field = message["error"]["field"]
        if isinstance(error, RenderFailed):
            error.add_note(_tail(log))
        raise error
    result: dict[str, Any] = message["result"]
    log.unlink(missing_ok=True)
    return result


def _start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=_environment(folder),
            process_group=0,
        )


def _environment(folder: Path) -> dict[str, str]:
    environment = {
        "PYTHONPATH": _ROOT,
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


def _exit_error(status: int, log: Path) -> OutOfMemory | RenderTimeout | RenderFailed:
    """Return the error for a child that ended with this exit status and without a final message."""
    tail = _tail(log)
    error: OutOfMemory | RenderTimeout | RenderFailed
    if status == -signal.SIGXCPU:
        error = RenderTimeout()
    elif status == -signal.SIGKILL or "MemoryError" in tail or "memory allocation" in tail:
        # A child that was killed, and not by _stop, was killed by the kernel because memory ran out.
        error = OutOfMemory()
    else:
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        error = RenderFailed(f"the renderer ended with {reason} on this input; check the media in another player")
    error.add_note(tail)
    return error


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
