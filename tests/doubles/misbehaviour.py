"""What a double can be told to do wrong, in this process or over its control endpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: What a request is for.
Verb = Literal["submit", "poll", "cancel", "find", "result", "any"]


@dataclass(frozen=True, slots=True)
class Fault:
    """The next ``times`` requests of one verb go wrong; -1: all of them.

    ``accept`` decides whether the double does its work before: a submission is then accepted *and charged*, and
    only its answer goes wrong.
    """

    verb: Verb = "submit"
    #: ``reply``: the status, headers and body below. ``slow``: the true answer, ``seconds`` late.
    act: Literal["reply", "drop", "reset", "cut", "slow"] = "reply"
    accept: bool = False
    times: int = 1
    #: So many requests of the verb pass before.
    skip: int = 0
    #: Only requests for a task with this reference; empty: any.
    ref: str = ""
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    #: Waited before the answer, whatever it is.
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the next ``times`` accepted tasks; -1: of all of them."""

    #: How a task ends. ``lost``: the vendor knows it no more. ``never``: it runs for ever.
    outcome: Literal["success", "fail", "never", "lost", "cancelled"] = "success"
    #: What the vendor says about a failure.
    message: str = "the model could not make this"
    #: Running time; ``None``: the double's own.
    seconds: float | None = None
    #: It is not done before so many polls.
    polls: int = 0
    #: What the result's URL gives. ``dead``: nobody listens there; ``private``: an address of the inner network;
    #: ``none``: the vendor reports success without a URL.
    result: Literal["film", "gone", "missing", "html", "text", "empty", "cut", "dead", "private", "none"] = "film"
    times: int = 1
    #: Only tasks with this reference; empty: any.
    ref: str = ""


class Script:
    """The faults and plans that were told and are not used up, the oldest first."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.plans: list[Plan] = []

    def fault(self, verb: Verb, ref: str) -> Fault | None:
        """What goes wrong with this request, if anything does; counted as used."""
        for place, fault in enumerate(self.faults):
            if fault.times and fault.verb in (verb, "any") and (not fault.ref or fault.ref == ref):
                if fault.skip:
                    self.faults[place] = dataclasses.replace(fault, skip=fault.skip - 1)
                    return None
                self.faults[place] = dataclasses.replace(fault, times=_less(fault.times))
                return fault
        return None

    def plan(self, ref: str) -> Plan:
        """What becomes of a task that is accepted now; counted as used."""
        for place, plan in enumerate(self.plans):
            if plan.times and (not plan.ref or plan.ref == ref):
                self.plans[place] = dataclasses.replace(plan, times=_less(plan.times))
                return plan
        return Plan()


def _less(times: int) -> int:
    return times - 1 if times > 0 else times
