"""The handler that runs in the endpoint's image: ``python -m ops.runpod.handler``.

RunPod's own package takes jobs and sends results; it is imported here and nowhere else. Left alone it logs what
handlers return, and sets up logging so that every request is logged: presigned URLs, which are secrets.
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

from ops.runpod.studio import Studio, open_studio
from schemas.errors import JobCancelled, TelecineError
from schemas.settings import Settings

#: Progress is told in steps of at least so many points, and at most once in so many seconds.
_POINTS, _SECONDS = 5, 1.0

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class _Teller:
    """Tells RunPod how far a job is, and ends the work of one that was cancelled."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._told, self._due = 0, 0.0
        self.stopped = threading.Event()

    def __call__(self, part: float) -> None:
        if self.stopped.is_set():
            raise JobCancelled
        points, now = int(part * 100), time.monotonic()
        # The last report would race with the result, and may overtake it.
        if points >= self._told + _POINTS and now >= self._due and points < 100:
            self._told, self._due = points, now + _SECONDS
            runpod.serverless.progress_update(self._job, points)


def handler_for(studio: Studio) -> Handler:
    """The handler: a coroutine, so that cancellations reach it while a thread works."""

    async def handle(job: Mapping[str, Any]) -> Mapping[str, Any]:
        tell = _Teller(job)
        try:
            return await asyncio.to_thread(studio.make, job["input"], tell)
        except TelecineError as error:
            # Raised, it would travel with a traceback in which presigned URLs may stand.
            return {"error": json.dumps(error.as_record())}
        finally:
            tell.stopped.set()

    return handle


def main() -> None:
    """Serves jobs until RunPod ends the worker."""
    logging.getLogger().setLevel(logging.WARNING)
    RunPodLogger().set_level("INFO")
    runpod.serverless.start({"handler": handler_for(open_studio(Settings()))})


if __name__ == "__main__":
    main()
