"""The handler in the RunPod endpoint's image: ``python -m ops.runpod.handler``.

RunPod's package, which receives jobs and sends results, is imported only here. By default it logs every request and
what handlers return, including presigned URLs, which are secrets; ``main`` raises the log levels to prevent that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import runpod
from runpod.serverless.modules.rp_logger import RunPodLogger

from ops.runpod.renderer import ReelRenderer, open_renderer
from schemas.errors import JobCancelled, TelecineError
from schemas.settings import Settings

#: Progress is reported in steps of at least ``_POINTS`` percent, and at most once per ``_SECONDS``.
_POINTS, _SECONDS = 5, 1.0

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class _ProgressReporter:
    """Reports a job's progress to RunPod, and stops the work of a cancelled job."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._reported, self._due = 0, 0.0
        self.stopped = threading.Event()

    def __call__(self, part: float) -> None:
        if self.stopped.is_set():
            raise JobCancelled
        points, now = int(part * 100), time.monotonic()
        # 100 % is not reported: it would race with the result and might arrive after it.
        if points >= self._reported + _POINTS and now >= self._due and points < 100:
            self._reported, self._due = points, now + _SECONDS
            runpod.serverless.progress_update(self._job, points)


def handler_for(renderer: ReelRenderer) -> Handler:
    """Return the handler: a coroutine, so that RunPod can cancel it while a thread does the work."""

    async def handle(job: Mapping[str, Any]) -> Mapping[str, Any]:
        progress = _ProgressReporter(job)
        try:
            return await asyncio.to_thread(renderer.render, job["input"], progress)
        except TelecineError as error:
            # Not raised, because RunPod would send its traceback, which may contain presigned URLs.
            return {"error": json.dumps(error.as_record())}
        finally:
            progress.stopped.set()

    return handle


def main() -> None:
    """Serve jobs until RunPod ends the worker."""
    logging.getLogger().setLevel(logging.WARNING)
    RunPodLogger().set_level("INFO")
    runpod.serverless.start({"handler": handler_for(open_renderer(Settings()))})


if __name__ == "__main__":
    main()
