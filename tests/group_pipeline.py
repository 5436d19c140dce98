"""Workers claim short jobs in groups however long they take: ``TELECINE_EXTENSIONS=tests.group_pipeline``."""

from __future__ import annotations

from consumer.execution import group
from tests import note_pipeline

assert note_pipeline  # importing it adds its job types
group.GROUP_SECONDS = 600.0
