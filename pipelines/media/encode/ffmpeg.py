"""One run of the ffmpeg program inside the child process: bounded, and with an answer to why it ended."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from pipelines.media.sandbox.rlimits import die_with_parent
from schemas.errors import InternalError, RenderFailed
from schemas.errors.disk import BROKEN, FULL

_TAIL_BYTES = 4000
_LINE_CHARACTERS = 200
#: ffmpeg ends with this status after SIGTERM or SIGINT.
_STOPPED = 255
#: ffmpeg's messages about these errors are unambiguous; its exit status is 256 less the number.
_OWN_FAULTS = (*FULL, errno.EROFS, errno.ENOMEM)


class FfmpegDied(Exception):
    """A signal ended ffmpeg. ``status`` is negative, as ``Popen.returncode``."""

    def __init__(self, status: int, last_line: str) -> None:
        super().__init__(f"ffmpeg was ended by signal {-status}")
        self.status, self.last_line = status, last_line


class Ffmpeg:
    """A running ffmpeg and the end of its messages. The kernel kills it when this process ends."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start ffmpeg.

        Raises:
            InternalError: The program cannot be executed.
            OSError: This machine has no memory or processes left.
        """
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                preexec_fn=die_with_parent(os.getpid()),
            )
        except (FileNotFoundError, PermissionError) as error:
            raise InternalError(f"ffmpeg cannot be started: {error.strerror}: {command[0]}") from None
        self._tail = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end, at most ``seconds``, and return its exit status; ``None`` if it still runs."""
        # Its messages end when it does. To wait for the process with a limit of time would be to look again and again.
        self._reader.join(seconds)
        return None if self._reader.is_alive() else self._process.wait()

    def check(self, problem: str) -> None:
        """Check that it has ended with a result.

        Raises:
            RenderFailed: It cannot use the media; the message is ``problem`` and its last line.
            FfmpegDied: A signal ended it.
            MemoryError, OSError: This machine has no memory, or its disk cannot be written.
        """
        status = self._process.returncode
        if status == 0:
            return
        text = self.messages
        sys.stderr.write(text)
        if status < 0 or status == _STOPPED:
            raise FfmpegDied(-signal.SIGTERM if status > 0 else status, _last_line(text))
        for number in (*_OWN_FAULTS, *BROKEN):
            if status == 256 - number or (number in _OWN_FAULTS and os.strerror(number) in text):
                raise MemoryError if number == errno.ENOMEM else OSError(number, os.strerror(number))
        raise RenderFailed(f"{problem} ({_last_line(text) or f'status {status}'}); check it in another player")

    @property
    def messages(self) -> str:
        """The end of what it has written to standard error."""
        return self._tail.decode(errors="replace")

    def kill(self) -> None:
        """End it, if it still runs."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as messages:
            while piece := os.read(messages.fileno(), 65536):
                self._tail = (self._tail + piece)[-_TAIL_BYTES:]


def _last_line(text: str) -> str:
    """Return the last line without the address of ffmpeg's component and without folders."""
    line = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    line = re.sub(r"^\[[^\]]*\] *", "", line)
    line = re.sub(r"(?:file:)?(?:/[^/\s]*)+/", "", line)
    return "".join(character for character in line if character.isprintable())[:_LINE_CHARACTERS].strip()
