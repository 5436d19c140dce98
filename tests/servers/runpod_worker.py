"""RunPod's own worker loop with Telecine's handler, as in the image of the endpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.process import ServerMissing, end, spawn

_ROOT = Path(__file__).resolve().parent.parent.parent
#: Where install.sh installs RunPod's package. The worker also imports Telecine's packages.
_OWN = Path(__file__).parent / ".runpod"


class RunpodWorker:
    """A worker of an endpoint, as a context manager. ``environment`` comes from RunPod and the operator."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / "worker.log"
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        python = _OWN / "bin" / "python"
        if not python.exists():
            raise ServerMissing("RunPod's package is not installed. Run `make test` once.")
        own = next(_OWN.glob("lib/python3*/site-packages"))
        (own / "telecine.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = spawn(
            [str(python), "-m", "ops.runpod.handler"],
            self.log,
            environment={
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(self._folder),
                "TMPDIR": str(self._folder),
                **self._environment,
            },
            folder=_ROOT,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        end(self._process, signal.SIGKILL)
