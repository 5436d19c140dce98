"""Which pipeline makes which job type, and which worker role it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.context import Context
from pipelines.reel import plan as plan_reel
from pipelines.reel import reel
from schemas.media import Artifact, Plan

Role = Literal["io", "render", "gpu"]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How one job type is made and estimated."""

    #: ``run(data, context)``: a straight-line function.
    run: Callable[[Any, Context], Sequence[Artifact]]
    #: ``plan(data, context)``: what ``run`` would make.
    plan: Callable[[Any, Context], Plan]
    role: Role


PIPELINES: dict[str, Pipeline] = {"reel": Pipeline(run=reel, plan=plan_reel, role="render")}
