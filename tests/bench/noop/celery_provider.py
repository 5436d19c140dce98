"""The two ways in which Celery tasks usually wait for a provider: asleep in the task, or by ``retry(countdown=…)``."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from typing import Any

from celery import Celery

QUEUE = "bench.provider"
POLL_SECONDS = float(os.environ.get("TELECINE_BENCH_POLL", "30"))

app = Celery("bench-provider", broker=os.environ.get("TELECINE_BENCH_BROKER", "memory://"))
app.conf.update(
    task_default_queue=QUEUE,
    task_default_queue_type="quorum",
    broker_native_delayed_delivery_queue_type="quorum",
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


def _ask(method: str, path: str) -> dict[str, Any]:
    request = urllib.request.Request(os.environ["TELECINE_BENCH_PROVIDER"] + path, method=method)
    with urllib.request.urlopen(request, timeout=10) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


@app.task(name="bench.blocking")
def blocking(number: int) -> None:
    """Hold its place until the provider is done."""
    task = _ask("POST", "/v3/text2video/bench-model")["task_id"]
    while True:
        time.sleep(POLL_SECONDS)
        if _ask("GET", f"/get?id={task}")["status"] == "COMPLETED":
            return


@app.task(bind=True, name="bench.retrying", max_retries=None)
def retrying(self: Any, number: int, task: str | None = None) -> None:
    """Release its place between two polls."""
    if task is None:
        task = _ask("POST", "/v3/text2video/bench-model")["task_id"]
    elif _ask("GET", f"/get?id={task}")["status"] == "COMPLETED":
        return
    raise self.retry(args=(number, task), countdown=POLL_SECONDS)
