"""The parent's side of the media child: start it with nothing but its task, watch it, end it."""

from __future__ import annotations

import contextlib
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
#: How often the caller's ``progress`` is called while the child has nothing to say, so that it can cancel.
_HEARTBEAT_SECONDS = 1.0
_LOG_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one child. Memory is address space, of which libraries reserve more than they touch."""

    wall_seconds: float = 1800.0
    cpu_seconds: int = 7200
    memory_bytes: int = 4 * 1024**3
    file_bytes: int = 4 * 1024**3


#: Enough for a reel of hours; a worker's settings may say otherwise.
DEFAULT_BOUNDS = Bounds()


def run_child(
    task: dict[str, Any], folder: Path, bounds: Bounds = DEFAULT_BOUNDS, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Run ``task`` in a child process that works in ``folder``, and return its result.

    The child has its own process group and an environment without secrets, and dies with this
    process. ``progress`` is called with shares from 0 to 1 at least once a second; an exception from it
    ends the child and propagates.

    Raises:
        TelecineError: what the child reported, by its code.
        RenderTimeout: it took longer than the bounds allow; it has been killed.
        OutOfMemory: it needed more memory than the bounds allow.
        RenderFailed: it died of something else.
    """
    limits = asdict(bounds)
    deadline = time.monotonic() + limits.pop("wall_seconds")
    log = folder / "render.log"
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=_environment(folder),
            process_group=0,
        )
    try:
        _tell(child, {**task, "bounds": limits, "parent": os.getpid()})
        answer = _listen(child, deadline, progress)
    finally:
        _end(child)
    if answer is None:
        raise _death(child.returncode, log)
    if "error" in answer:
        error = error_for(answer["error"]["code"], answer["error"]["message"])
        error.field = answer["error"]["field"]
        if isinstance(error, RenderFailed):
            error.add_note(_tail(log))
        raise error
    result: dict[str, Any] = answer["result"]
    log.unlink(missing_ok=True)
    return result


def _environment(folder: Path) -> dict[str, str]:
    environment = {
        "PYTHONPATH": _ROOT,
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        # One thread each: more only claim address space.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment


def _tell(child: subprocess.Popen[bytes], task: dict[str, Any]) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(task).encode())
        child.stdin.close()
    except BrokenPipeError:
        pass  # it died at once: its exit status says of what


def _listen(
    child: subprocess.Popen[bytes], deadline: float, progress: Callable[[float], None] | None
) -> dict[str, Any] | None:
    """Return the child's final message, or ``None`` if it ended without one."""
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
                        report(done)  # the last of it may have come together with the answer
                        answer: dict[str, Any] = message
                        return answer
                    done = message["progress"]
            report(done)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and everything it started; one that has sent its final message may end by itself first."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=0.5 if sys.exc_info()[0] is None else 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _death(status: int, log: Path) -> OutOfMemory | RenderTimeout | RenderFailed:
    """Return the error that the exit status of a silent child means."""
    tail = _tail(log)
    error: OutOfMemory | RenderTimeout | RenderFailed
    if status == -signal.SIGXCPU:
        error = RenderTimeout()
    elif status == -signal.SIGKILL or "MemoryError" in tail or "memory allocation" in tail:
        # Only the kernel kills a child that is neither late nor cancelled: it ran out of memory.
        error = OutOfMemory()
    else:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        error = RenderFailed(f"the renderer ended with {how} on this input; check the media in another player")
    error.add_note(tail)
    return error


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
