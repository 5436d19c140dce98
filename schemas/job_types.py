"""The job types that this version can run, and the model of each one's ``data``."""

from __future__ import annotations

from pydantic import BaseModel

from schemas.reel import Reel

JOB_TYPES: dict[str, type[BaseModel]] = {"reel": Reel}
