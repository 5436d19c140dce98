"""The base of all provider doubles: tasks, charges, misbehaviour, a result host and a control endpoint.

    with Pika() as pika:
        pika.fault(Fault("submit", "drop", accept=True))   # accepted and charged; the answer is lost
        ...
        assert pika.charges("the call's key") == 1

Each provider's double is a subclass: it maps a request to its verb (``classify``), answers each verb and renders a
task in the provider's format. Other processes control a double over HTTP:

    GET  /_control/state     charges by reference, tasks, requests by verb
    POST /_control/faults    one Fault as JSON
    POST /_control/plans     one Plan as JSON
    POST /_control/reset     deletes tasks, charges, faults and plans
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.doubles.misbehaviour import Fault, Plan, Script, Verb
from tests.doubles.results import result_reply, shaped
from tests.doubles.server import Reply, Seen, Server

#: Part of the query of every result's URL. It must not appear in any error or log.
URL_SECRET = "Ffd3x9SignatureOfTheResult"
KEY = "double-key-7f2Qx91LmZ"
#: How many requests a double keeps.
_MOST_REQUESTS = 50_000


@dataclass(slots=True)
class Task:
    """An accepted submission. Each one is charged."""

    id: str
    #: The caller's reference, or what the double uses as one.
    ref: str
    #: The request: parsed JSON or the parts of the form.
    asked: Any
    plan: Plan
    accepted_at: float = field(default_factory=time.time)
    accepted_tick: float = field(default_factory=time.monotonic)
    polls: int = 0
    cancelled: bool = False


class Double:
    """A provider on 127.0.0.1. A context manager whose methods are safe to call from the test's thread."""

    #: Running time of a task in seconds, unless its plan sets one.
    work_seconds = 0.0

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, key: str = KEY, work_seconds: float | None = None
    ) -> None:
        self.key = key
        if work_seconds is not None:
            self.work_seconds = work_seconds
        self._lock = threading.RLock()
        self._server = Server(self._handle, host=host, port=port)
        self._results = Server(self._result, host=host)
        self._clear()

    def _clear(self) -> None:
        self.tasks: dict[str, Task] = {}
        #: The latest requests to the provider's API with their verbs, in order of arrival.
        self.requests: list[tuple[Verb, Seen]] = []
        self._counts: Counter[Verb] = Counter()
        self._script = Script()

    # For subclasses to implement

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        """Return the verb of a request and its task id; the id is empty if the request has none."""
        raise NotImplementedError

    def submit(self, seen: Seen) -> Reply:
        """Check the request as the provider does, call ``accept`` and return the reply."""
        raise NotImplementedError

    def poll(self, task: Task, seen: Seen) -> Reply:
        """Return the task in the provider's format; ``stage`` is its current state."""
        raise NotImplementedError

    def other(self, verb: Verb, task: Task | None, seen: Seen) -> Reply:
        """Answer the other verbs."""
        return Reply.of({"error": "not found"}, 404)

    def refusal(self, seen: Seen) -> Reply | None:
        """Return the error for a request with a wrong or missing key, or ``None`` if the key is right."""
        return None

    def unknown(self, seen: Seen) -> Reply:
        """Return the error for a task that does not exist or no longer exists."""
        return Reply.of({"error": "not found"}, 404)

    def reference(self, seen: Seen) -> str:
        """Return the caller's reference in a submission, which faults and plans can name; empty if it has none."""
        return ""

    # Shared by subclasses

    def accept(self, ref: str, asked: Any, id: str | None = None) -> Task:  # noqa: A002 - the providers' word
        """Create a task and charge it."""
        task = Task(id or str(uuid.uuid4()), ref, asked, self._script.plan(ref))
        self.tasks[task.id] = task
        return task

    def stage(self, task: Task) -> str:
        """Return the current stage of a task: ``running``, ``success``, ``fail`` or ``cancelled``."""
        plan = task.plan
        seconds = self.work_seconds if plan.seconds is None else plan.seconds
        if task.cancelled:
            return "cancelled"
        if plan.outcome == "never" or task.polls <= plan.polls or time.monotonic() - task.accepted_tick < seconds:
            return "running"
        return plan.outcome

    def result_url(self, task: Task, name: str = "video.mp4") -> str | None:
        """Return the URL of the result according to the task's plan; ``None`` if the plan has no URL."""
        name = quote(name)
        match task.plan.result:
            case "none":
                return None
            case "dead":
                return f"http://127.0.0.1:9/{task.id}/{name}?Signature={URL_SECRET}"
            case "private":
                return f"http://10.0.0.7/{task.id}/{name}?Signature={URL_SECRET}"
        return f"{self._results.url}/{task.id}/{name}?Signature={URL_SECRET}"

    def shaped(self, task: Task) -> Any:
        """Return the output in the shape that the task's plan names."""
        return shaped(task.plan.shape, str(self.result_url(task)), str(self.result_url(task, "picture.png")))

    # For tests

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT`` of the API."""
        return self._server.url

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT`` of the API, for TELECINE_ALLOWED_PRIVATE_HOSTS."""
        return self.url.removeprefix("http://")

    @property
    def result_host(self) -> str:
        """``127.0.0.1:PORT`` of the host that serves the results."""
        return self._results.url.removeprefix("http://")

    def charges(self, ref: str | None = None) -> int:
        """Count the accepted submissions, of one reference or of all."""
        with self._lock:
            return sum(ref is None or task.ref == ref for task in self.tasks.values())

    def count(self, verb: Verb) -> int:
        """Count the requests of a verb, including those that failed."""
        with self._lock:
            return self._counts[verb]

    def fault(self, fault: Fault) -> None:
        """Add a fault; it applies to requests from now on."""
        with self._lock:
            self._script.faults.append(fault)

    def plan(self, plan: Plan) -> None:
        """Add a plan; it applies to tasks that are accepted from now on."""
        with self._lock:
            self._script.plans.append(plan)

    def change(self, task_id: str, **changes: Any) -> None:
        """Change the plan of an existing task."""
        with self._lock:
            task = self.tasks[task_id]
            task.plan = dataclasses.replace(task.plan, **changes)

    def reset(self) -> None:
        """Delete all tasks, charges, faults and plans."""
        with self._lock:
            self._clear()

    def state(self) -> dict[str, Any]:
        """Return the charges by reference, the requests by verb and the tasks."""
        with self._lock:
            return {
                "charges": dict(Counter(task.ref for task in self.tasks.values())),
                "requests": dict(self._counts),
                "tasks": [
                    {"id": task.id, "ref": task.ref, "stage": self.stage(task), "polls": task.polls}
                    for task in self.tasks.values()
                ],
            }

    def __enter__(self) -> Self:
        self._server.__enter__()
        self._results.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
        self._results.__exit__(kind, error, trace)

    # Answering requests

    async def _handle(self, seen: Seen) -> Reply:
        if seen.path.startswith("/_control/"):
            return self._control(seen)
        with self._lock:
            verb, task_id = self.classify(seen)
            self._note(verb, seen)
            known = self.tasks.get(task_id)
            fault = self._script.fault(verb, known.ref if known else self.reference(seen) if verb == "submit" else "")
            reply = self._answer(verb, task_id, seen) if fault is None or fault.accept or fault.act == "slow" else None
        if fault is None:
            assert reply is not None
            return reply
        await asyncio.sleep(fault.seconds)
        if fault.act == "reply":
            kind = "application/json" if fault.body[:1] in ("{", "[") else "text/plain"
            return Reply(fault.status, fault.body.encode(), {"content-type": kind, **fault.headers})
        if fault.act == "slow":
            assert reply is not None
            return reply
        return dataclasses.replace(reply or Reply(200, b"x" * 64), fate=fault.act)

    def _note(self, verb: Verb, seen: Seen) -> None:
        self._counts[verb] += 1
        self.requests.append((verb, seen))
        if len(self.requests) > _MOST_REQUESTS:
            del self.requests[: _MOST_REQUESTS // 2]

    def _answer(self, verb: Verb, task_id: str, seen: Seen) -> Reply:
        if (refused := self.refusal(seen)) is not None:
            return refused
        if verb == "submit":
            return self.submit(seen)
        task = self.tasks.get(task_id)
        if task_id and (task is None or task.plan.outcome == "lost"):
            return self.unknown(seen)
        if verb == "poll" and task is not None:
            task.polls += 1
            return self.poll(task, seen)
        return self.other(verb, task, seen)

    async def _result(self, seen: Seen) -> Reply:
        with self._lock:
            task = self.tasks.get(seen.path.strip("/").partition("/")[0])
            self._note("result", seen)
            fault = self._script.fault("result", task.ref if task else "")
        if fault is not None and fault.act == "reply":
            return Reply(fault.status, fault.body.encode(), fault.headers)
        known = task is not None and seen.query.get("Signature") == URL_SECRET
        name = seen.path.rpartition("/")[2]
        return result_reply(task.plan.result if task is not None and known else "missing", name)

    def _control(self, seen: Seen) -> Reply:
        match seen.path.rpartition("/")[2]:
            case "state":
                return Reply.of(self.state())
            case "faults":
                self.fault(Fault(**seen.json()))
            case "plans":
                self.plan(Plan(**seen.json()))
            case "reset":
                self.reset()
            case _:
                return Reply.of({"error": "state, faults, plans or reset"}, 404)
        return Reply.of({})


def serve(kind: type[Double]) -> None:
    """Serve a double until interrupted: ``python -m tests.doubles.pika --port 8101``."""
    options = argparse.ArgumentParser(description=kind.__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--key", default=KEY)
    options.add_argument("--work-seconds", type=float, default=kind.work_seconds)
    chosen = options.parse_args()
    with kind(host=chosen.host, port=chosen.port, key=chosen.key, work_seconds=chosen.work_seconds) as double:
        print(f"{kind.__name__} at {double.url}, results at {double.result_host}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(double.state(), flush=True)
