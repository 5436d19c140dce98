"""``text-to-video``: a description becomes a video."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.context import Context
from pipelines.models.video import generate_video, plan_video
from schemas.media import Plan, StoredArtifact
from schemas.text_to_video import TextToVideo

TYPE = "text-to-video"


def text_to_video(data: TextToVideo, ctx: Context) -> Sequence[StoredArtifact]:
    """Make ``video.mp4``."""
    ctx.annotate(prompt=data.prompt)
    return generate_video(ctx, "generate", TYPE, data)


def plan(data: TextToVideo, ctx: Context) -> Plan:
    """Return the plan of a ``text-to-video`` job, for the first model that accepts the parameters."""
    return plan_video(ctx, TYPE, data, data.explicit_parameters())
