"""The line in which a job waits, so that tenants take turns, and indexes in the order of claims"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
additive = True

_CLOCK = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "cast(extract(epoch from clock_timestamp()) as double precision)",
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("line", sa.String(length=64), nullable=True))
    clock = _CLOCK[op.get_bind().dialect.name]
    # What a process of the version before admits later enters its line with its wake-up.
    op.execute(
        "UPDATE jobs SET line = COALESCE(tenant, '(none)') WHERE wake_at IS NOT NULL AND lease_until IS NULL"  # noqa: S608
        f" AND not_before <= {clock}"
    )
    # Also by wake_at: a process of the version before leaves the line of a job that has ended as it is.
    waits = sa.text("line IS NOT NULL AND wake_at IS NOT NULL")
    columns = ["role", "priority", "line", "received_at"]
    op.create_index("ix_jobs_line", "jobs", columns, sqlite_where=waits, postgresql_where=waits)
    _replace_calls_open("provider", "state", "urgency", "tenant", "queued_at")


def _replace_calls_open(*columns: str) -> None:
    not_ended = sa.text("finished_at IS NULL")
    op.drop_index("ix_calls_open", "calls")
    op.create_index("ix_calls_open", "calls", columns, sqlite_where=not_ended, postgresql_where=not_ended)


def downgrade() -> None:
    _replace_calls_open("provider", "state")
    op.drop_index("ix_jobs_line", "jobs")
    op.drop_column("jobs", "line")
