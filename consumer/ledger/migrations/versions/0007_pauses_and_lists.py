"""What an operator has paused, and indexes for lists of callbacks and for spend"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_pauses")),
    )
    not_delivered = sa.text("state != 'delivered'")
    op.create_index("ix_calls_submitted_at", "calls", ["submitted_at"])
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])
    op.create_index(
        "ix_deliveries_state_created_at",
        "deliveries",
        ["state", "created_at"],
        sqlite_where=not_delivered,
        postgresql_where=not_delivered,
    )


def downgrade() -> None:
    op.drop_index("ix_calls_submitted_at", "calls")
    for name in ("state_created_at", "created_at"):
        op.drop_index(f"ix_deliveries_{name}", "deliveries")
    op.drop_table("pauses")
