"""The faults and plans that a test gives a double, in the same process or over the control endpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: The purpose of a request.
Verb = Literal["submit", "poll", "cancel", "find", "result", "any"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Make the next ``times`` requests of a verb fail; -1 means all of them.

    With ``accept`` the double processes the request first: a submission is accepted *and charged*, and only the
    response is lost or wrong.
    """

    verb: Verb = "submit"
    #: ``reply``: the status, headers and body below. ``slow``: the normal response after ``seconds``.
    act: Literal["reply", "drop", "reset", "cut", "slow"] = "reply"
    accept: bool = False
    times: int = 1
    #: How many requests of the verb succeed first.
    skip: int = 0
    #: Apply only to requests for the task with this reference; empty: to all.
    ref: str = ""
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    #: Delay before the response or the disconnect.
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Decide how the next ``times`` accepted tasks end; -1 means all of them."""

    #: How a task ends. ``lost``: the provider no longer knows it. ``never``: it keeps running.
    outcome: Literal["success", "fail", "never", "lost", "cancelled"] = "success"
    #: The provider's error message for a failed task.
    message: str = "the model could not make this"
    #: Running time; ``None``: the double's ``work_seconds``.
    seconds: float | None = None
    #: How many polls report ``running`` at least.
    polls: int = 0
    #: What the result's URL serves. ``dead``: no server listens there; ``private``: an address of a private network;
    #: ``none``: the provider reports success without a URL.
    result: Literal["film", "gone", "missing", "html", "text", "empty", "cut", "dead", "private", "none"] = "film"
    #: A name in ``results.SHAPES``: the output is nested like this. Empty: as the provider documents it.
    shape: str = ""
    times: int = 1
    #: Apply only to tasks with this reference; empty: to all.
    ref: str = ""


class Script:
    """The faults and plans of a double, oldest first."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.plans: list[Plan] = []

    def fault(self, verb: Verb, ref: str) -> Fault | None:
        """Return the fault for this request, if any, and count it as used."""
        for place, fault in enumerate(self.faults):
            if fault.times and fault.verb in (verb, "any") and (not fault.ref or fault.ref == ref):
                if fault.skip:
                    self.faults[place] = dataclasses.replace(fault, skip=fault.skip - 1)
                    return None
                self.faults[place] = dataclasses.replace(fault, times=_less(fault.times))
                return fault
        return None

    def plan(self, ref: str) -> Plan:
        """Return the plan for a newly accepted task and count it as used."""
        for place, plan in enumerate(self.plans):
            if plan.times and (not plan.ref or plan.ref == ref):
                self.plans[place] = dataclasses.replace(plan, times=_less(plan.times))
                return plan
        return Plan()


def _less(times: int) -> int:
    return times - 1 if times > 0 else times
