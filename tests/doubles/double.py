"""What every vendor's double shares: tasks, charges, misbehaviour, a result host and a control endpoint.

    with Pika() as pika:
        pika.fault(Fault("submit", "drop", accept=True))   # accepted and charged; the answer is lost
        ...
        assert pika.charges("the call's key") == 1

A vendor's double is a subclass that says how its requests are told apart (``classify``), how it answers to each
verb, and what its task looks like. Another process reaches the same by HTTP, see ``control``.

    GET  /_control/state     charges by reference, tasks, requests by verb
    POST /_control/faults    one Fault as JSON
    POST /_control/plans     one Plan as JSON
    POST /_control/reset     forgets everything
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
from tests.doubles.results import result_reply
from tests.doubles.server import Reply, Seen, Server

#: Stands in the query of every result's URL: it must turn up in no error and no log.
URL_SECRET = "Ffd3x9SignatureOfTheResult"
#: Requests that a double remembers.
_MOST_REQUESTS = 50_000


@dataclass(slots=True)
class Task:
    """One accepted submission: one charge."""

    id: str
    #: The caller's own reference, or what the vendor's double takes for one.
    ref: str
    #: What was asked: the parsed JSON, or the form's parts.
    asked: Any
    plan: Plan
    accepted_at: float = field(default_factory=time.time)
    accepted_tick: float = field(default_factory=time.monotonic)
    polls: int = 0
    cancelled: bool = False


class Double:
    """One vendor on 127.0.0.1. A context manager; safe to ask from the test's thread while it serves."""

    #: Running time of a task in seconds when its plan does not say.
    work_seconds = 0.0

    def __init__(self, *, port: int = 0, key: str = "double-key-7f2Qx91LmZ", work_seconds: float | None = None) -> None:
        self.key = key
        if work_seconds is not None:
            self.work_seconds = work_seconds
        self._lock = threading.RLock()
        self._server = Server(self._handle, port=port)
        self._results = Server(self._result)
        self._forget()

    def _forget(self) -> None:
        self.tasks: dict[str, Task] = {}
        #: The requests to the vendor's API, with their verbs, in the order of arrival; the last ones of very many.
        self.requests: list[tuple[Verb, Seen]] = []
        self._counts: Counter[Verb] = Counter()
        self._script = Script()

    # What a vendor's double says

    def classify(self, seen: Seen) -> tuple[Verb, str]:
        """The verb of a request and the task's id, which is empty where there is none."""
        raise NotImplementedError

    def submit(self, seen: Seen) -> Reply:
        """Checks the request as the vendor does, calls ``accept`` and answers."""
        raise NotImplementedError

    def poll(self, task: Task, seen: Seen) -> Reply:
        """The task as the vendor describes it; ``stage`` says how it stands."""
        raise NotImplementedError

    def other(self, verb: Verb, task: Task | None, seen: Seen) -> Reply:
        """Answers to the other verbs."""
        return Reply.of({"error": "not found"}, 404)

    def refusal(self, seen: Seen) -> Reply | None:
        """The answer to a request without the right key; ``None`` when it has it."""
        return None

    def unknown(self, seen: Seen) -> Reply:
        """The answer about a task that is not there, or no more."""
        return Reply.of({"error": "not found"}, 404)

    def reference(self, seen: Seen) -> str:
        """The caller's reference in a submission, for faults and plans that are meant for one; else empty."""
        return ""

    # What they are built of

    def accept(self, ref: str, asked: Any, id: str | None = None) -> Task:  # noqa: A002 - the vendors' word
        """A new task, charged."""
        task = Task(id or str(uuid.uuid4()), ref, asked, self._script.plan(ref))
        self.tasks[task.id] = task
        return task

    def stage(self, task: Task) -> str:
        """``running``, ``success``, ``fail`` or ``cancelled``: how a task stands now."""
        plan = task.plan
        seconds = self.work_seconds if plan.seconds is None else plan.seconds
        if task.cancelled:
            return "cancelled"
        if plan.outcome == "never" or task.polls <= plan.polls or time.monotonic() - task.accepted_tick < seconds:
            return "running"
        return plan.outcome

    def result_url(self, task: Task, name: str = "video.mp4") -> str | None:
        """Where the result lies, as the task's plan has it; ``None`` where the vendor names none."""
        name = quote(name)
        match task.plan.result:
            case "none":
                return None
            case "dead":
                return f"http://127.0.0.1:9/{task.id}/{name}?Signature={URL_SECRET}"
            case "private":
                return f"http://10.0.0.7/{task.id}/{name}?Signature={URL_SECRET}"
        return f"{self._results.url}/{task.id}/{name}?Signature={URL_SECRET}"

    # What tests ask and tell

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT`` of the API."""
        return self._server.url

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT`` of the API, for TELECINE_ALLOWED_PRIVATE_HOSTS."""
        return f"127.0.0.1:{self._server.port}"

    @property
    def result_host(self) -> str:
        """``127.0.0.1:PORT`` of the host that the results lie on."""
        return f"127.0.0.1:{self._results.port}"

    def charges(self, ref: str | None = None) -> int:
        """Accepted submissions: of one reference, or all."""
        with self._lock:
            return sum(ref is None or task.ref == ref for task in self.tasks.values())

    def count(self, verb: Verb) -> int:
        """Requests of a verb that arrived, whatever became of them."""
        with self._lock:
            return self._counts[verb]

    def fault(self, fault: Fault) -> None:
        """Something goes wrong from now on."""
        with self._lock:
            self._script.faults.append(fault)

    def plan(self, plan: Plan) -> None:
        """What becomes of tasks that are accepted from now on."""
        with self._lock:
            self._script.plans.append(plan)

    def change(self, task_id: str, **changes: Any) -> None:
        """Changes the plan of a task that is there."""
        with self._lock:
            task = self.tasks[task_id]
            task.plan = dataclasses.replace(task.plan, **changes)

    def reset(self) -> None:
        """Forgets tasks, charges, faults and plans."""
        with self._lock:
            self._forget()

    def state(self) -> dict[str, Any]:
        """What ``/_control/state`` answers."""
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

    # How a request is answered

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
        return result_reply(task.plan.result if task is not None and known else "missing")

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
    """Serves a double until interrupted, for other processes: ``python -m tests.doubles.pika --port 8101``."""
    options = argparse.ArgumentParser(description=kind.__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--key", default="double-key-7f2Qx91LmZ")
    options.add_argument("--work-seconds", type=float, default=kind.work_seconds)
    chosen = options.parse_args()
    with kind(port=chosen.port, key=chosen.key, work_seconds=chosen.work_seconds) as double:
        print(f"{kind.__name__} at {double.url}, results at {double.result_host}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(double.state(), flush=True)
