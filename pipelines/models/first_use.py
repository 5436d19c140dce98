"""Downloads weights when a job first needs them, where the operator has allowed it (``TELECINE_LOCAL_PULL``)."""

from __future__ import annotations

import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import structlog

import pipelines
from pipelines.media.sandbox.rlimits import die_with_parent
from providers.catalogue import Model
from providers.local.base import Progress
from schemas.errors import InternalError, StorageUnavailable, TelecineError, error_for

_log = structlog.get_logger()
_ROOT = str(Path(pipelines.__file__).parent.parent)
_POLL_SECONDS = 0.5


def pull_in_process(model: Model, progress: Progress, adapter: bool) -> None:
    """Run `telecine models pull`. An exception from ``progress`` ends it; what was downloaded until then is kept.

    It is a process of its own, because a worker that runs models never lets huggingface_hub use the network.

    Raises:
        TelecineError: the error that the command reports.
    """
    command = [sys.executable, "-P", "-m", "ops.cli.main", "models", "pull", model.id, "--yes", "--json"]
    started = time.monotonic()
    _log.info("weights_download_started", model=model.id)
    with tempfile.TemporaryFile() as messages:
        child = subprocess.Popen(
            [*command, *(["--adapter"] if adapter else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            env=_environment(),
            process_group=0,
            preexec_fn=die_with_parent(os.getpid()),
        )
        try:
            while child.poll() is None:
                progress(0.0)
                time.sleep(_POLL_SECONDS)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        if child.returncode != 0:
            messages.seek(0)
            raise _reported_error(messages.read().decode(errors="replace"))
    _log.info("weights_downloaded", model=model.id, seconds=round(time.monotonic() - started, 1))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    # PYTHONPATH precedes the standard library, so site-packages must not be in it.
    return kept if _ROOT in site.getsitepackages() else {**kept, "PYTHONPATH": _ROOT}


def _reported_error(messages: str) -> TelecineError:
    last = messages.strip().rpartition("\n")[2]
    try:
        record = json.loads(last)["error"]
        error = error_for(record["code"], record["message"])
    except (ValueError, KeyError, TypeError):
        return InternalError(f"the download of the weights ended unexpectedly: {last[:300]}")
    error.outage = isinstance(error, StorageUnavailable)
    return error
