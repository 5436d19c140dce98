"""Which content of its inputs a job was made of"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
additive = True


def upgrade() -> None:
    op.add_column("jobs", sa.Column("pins", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "pins")
