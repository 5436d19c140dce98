"""The benchmark's job type: one call of a remote model, whose file is not fetched."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from pipelines.context import Context, ModelCall
from pipelines.registry import PIPELINES, Pipeline
from schemas.job_types import JOB_TYPES
from schemas.media import Plan, StoredArtifact


class Asking(BaseModel):
    """``data`` of an ``asking``: no fields."""


def asking(data: Asking, ctx: Context) -> Sequence[StoredArtifact]:
    """Call the model and store nothing."""
    ctx.call("animate", ModelCall(["bench-model"], {"prompt": "a kite"}))
    return []


def plan(data: Asking, ctx: Context) -> Plan:
    """Return an empty plan."""
    return Plan(estimated_seconds=0.0)


JOB_TYPES["asking"] = Asking
PIPELINES["asking"] = Pipeline(run=asking, plan=plan, role="io")
