"""Which versions can use the ledger"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.create_table(
        "schema_info",
        sa.Column("oldest_version", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("oldest_version", name=op.f("pk_schema_info")),
    )


def downgrade() -> None:
    op.drop_table("schema_info")
