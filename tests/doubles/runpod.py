"""RunPod's two sides: the public job API, and the control plane that RunPod's own worker loop calls.

Without a worker a job follows its plan. With ``worker=True`` jobs wait until a worker takes them, and the result is
what the worker posts. ``worker_environment`` holds the variables that such a worker needs.

    POST /v2/EP/run   GET /v2/EP/status/ID   POST /v2/EP/cancel/ID   GET /v2/EP/health
    GET /job-take/POD   POST /job-done/POD/ID   GET /job-stop/POD   GET /ping/POD
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.doubles.double import Double, Task, serve
from tests.doubles.misbehaviour import Verb
from tests.doubles.server import Reply, Seen

LARGEST_BODY_BYTES = 10_000_000
CAPTIONS = {
    "captions.srt": "1\n00:00:00,000 --> 00:00:01,000\nla\n",
    "captions.vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\nla\n",
}
_VERBS: dict[str, Verb] = {"run": "submit", "status": "poll", "cancel": "cancel"}
#: The traceback of a failed handler, with details that must not appear in any error.
TRACEBACK = 'Traceback (most recent call last):\n  File "/app/ops/runpod/renderer.py", line 99, in render'


class RunPod(Double):
    """One endpoint."""

    endpoint = "ep4telecine"
    pod = "pod-1"

    def __init__(self, *, worker: bool = False, **options: Any) -> None:
        self.worker = worker
        super().__init__(**options)

    def _clear(self) -> None:
        super()._clear()
        #: The worker's posts about each job, in order.
        self.posted: dict[str, list[dict[str, Any]]] = {}
        self.taken: list[str] = []
        self.stops: list[str] = []
        self.pings = 0

    @property
    def base_url(self) -> str:
        """The value of RUNPOD_ENDPOINT_BASE_URL."""
        return f"{self.url}/v2"

    @property
    def worker_environment(self) -> dict[str, str]:
        """The environment variables that RunPod gives a worker."""
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{self.url}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{self.url}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{self.url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{self.url}/ping/$RUNPOD_POD_ID?gpu=none",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_AI_API_KEY": self.key,
            "RUNPOD_POD_ID": self.pod,
            "RUNPOD_ENDPOINT_ID": self.endpoint,
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        _, version, endpoint, verb, *rest = [*seen.path.split("/"), "", ""]
        known = version == "v2" and endpoint == self.endpoint
        return (_VERBS.get(verb, "any"), rest[0]) if known else ("any", "")

    def refusal(self, seen: Seen) -> Reply | None:
        if seen.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return Reply.text("", 401)

    def reference(self, seen: Seen) -> str:
        return str(seen.json().get("input", {}).get("key", ""))

    def submit(self, seen: Seen) -> Reply:
        if len(seen.body) > LARGEST_BODY_BYTES:
            return Reply.of({"error": "request body too large"}, 400)
        asked = seen.json()
        if not asked.get("input"):
            return Reply.of({"error": "input is required"}, 400)
        task = self.accept(self.reference(seen), asked)
        return Reply.of({"id": task.id, "status": "IN_QUEUE"})

    def poll(self, task: Task, seen: Seen) -> Reply:
        ttl = task.asked.get("policy", {}).get("ttl", 86_400_000) / 1000
        if time.monotonic() - task.accepted_tick > ttl:
            return self.unknown(seen)
        record = self._by_worker(task) if self.worker else self._by_plan(task)
        return Reply.of({"id": task.id, **record})

    def other(self, verb: Verb, task: Task | None, seen: Seen) -> Reply:
        if verb == "cancel" and task is not None:
            if self._ended(task) is None:
                task.cancelled = True
                self.stops.append(task.id)
            record = self._by_worker(task) if self.worker else self._by_plan(task)
            return Reply.of({"id": task.id, "status": record["status"]})
        if seen.path.endswith("/health"):
            waiting = sum(task.id not in self.taken for task in self.tasks.values())
            return Reply.of({"jobs": {"inQueue": waiting}, "workers": {"idle": 1, "running": 0}})
        return super().other(verb, task, seen)

    def _ended(self, task: Task) -> str | None:
        if not self.worker:
            return None if self.stage(task) == "running" else self.stage(task)
        return next((post["state"] for post in self.posted.get(task.id, []) if post["state"] != "IN_PROGRESS"), None)

    def _by_plan(self, task: Task) -> dict[str, Any]:
        match self.stage(task):
            case "running":
                return {"status": "IN_QUEUE"} if task.polls <= 1 else {"status": "IN_PROGRESS", "output": 40}
            case "success":
                details = {"version": "0.1.0", "frames": 24}
                if task.plan.shape:
                    return {"status": "COMPLETED", "executionTime": 2100, "output": self.shaped(task)}
                output = {"url": self.result_url(task), "value": CAPTIONS, "details": details}
                return {"status": "COMPLETED", "delayTime": 900, "executionTime": 2100, "output": output}
            case "fail":
                error = {
                    "error_type": "<class 'RuntimeError'>",
                    "error_message": task.plan.message,
                    "error_traceback": f"{TRACEBACK} {self.key}",
                    "hostname": "pod-1-64410f2b",
                }
                return {"status": "FAILED", "executionTime": 40, "error": json.dumps(error)}
        return {"status": "CANCELLED"}

    def _by_worker(self, task: Task) -> dict[str, Any]:
        posts = self.posted.get(task.id, [])
        # A progress report may arrive after the result, because RunPod's worker sends reports from separate threads.
        final = next((post for post in posts if post["state"] != "IN_PROGRESS"), None)
        if final is not None:
            return {"status": final["state"], "executionTime": 1, **final["body"]}
        if task.cancelled:
            return {"status": "CANCELLED"}
        if posts:
            return {"status": "IN_PROGRESS", "output": posts[-1]["body"].get("output")}
        return {"status": "IN_PROGRESS" if task.id in self.taken else "IN_QUEUE"}

    async def _handle(self, seen: Seen) -> Reply:
        _, room, _, *rest = [*seen.path.split("/"), ""]
        if room not in ("job-take", "job-done", "job-stop", "job-stream", "ping"):
            return await super()._handle(seen)
        if seen.headers.get("authorization", "").removeprefix("Bearer ") != self.key:
            return Reply.text("", 401)
        if room == "job-take":
            return await self._long_poll(self._take)
        if room == "job-stop":
            return await self._long_poll(self._stop)
        with self._lock:
            if room == "ping":
                self.pings += 1
            if room == "job-done":
                self._done(rest[0], json.loads(seen.body))
        return Reply.of({})

    async def _long_poll(self, look: Any) -> Reply:
        """Long-poll ``look`` for half a second."""
        for _ in range(10):
            with self._lock:
                found = look()
            if found is not None:
                return Reply.of(found)
            await asyncio.sleep(0.05)
        return Reply(204)

    def _take(self) -> dict[str, Any] | None:
        for task in self.tasks.values():
            if self.worker and task.id not in self.taken and not task.cancelled:
                self.taken.append(task.id)
                return {"id": task.id, "input": task.asked["input"]}
        return None

    def _stop(self) -> dict[str, Any] | None:
        stops, self.stops = [each for each in self.stops if each in self.taken], []
        return {"jobsToStop": stops} if stops else None

    def _done(self, task_id: str, body: dict[str, Any]) -> None:
        state = body.pop("status", None) or ("FAILED" if body.get("error") else "COMPLETED")
        self.posted.setdefault(task_id, []).append({"state": state, "body": body})


if __name__ == "__main__":
    serve(RunPod)
