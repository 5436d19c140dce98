"""When a job's results were deleted, the time that a request is scheduled for, and an index for finding old jobs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("jobs", sa.Column("results_deleted_at", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("scheduled_for", sa.Double(), nullable=True))
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_finished_at", "jobs")
    op.drop_column("jobs", "scheduled_for")
    op.drop_column("jobs", "results_deleted_at")
