"""Placeholder by the lead until the media engineer's file replaces it."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.context import Context
from schemas.media import Artifact, Plan
from schemas.reel import Reel


def reel(data: Reel, ctx: Context) -> Sequence[Artifact]:
    """See above."""
    raise NotImplementedError


def plan(data: Reel, ctx: Context) -> Plan:
    """See above."""
    raise NotImplementedError
