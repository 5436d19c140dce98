"""A column, a table and an index"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from consumer.ledger.migrations import versions

revision = "9001"
down_revision = max(path.name[:4] for path in Path(versions.__path__[0]).glob("0*.py"))
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("jobs", sa.Column("later", sa.String(length=64), nullable=True))
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
    op.create_index("ix_jobs_later", "jobs", ["later"])
