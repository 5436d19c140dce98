"""Which versions can use the ledger, and indexes for lists"""

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
    op.create_index("ix_jobs_received_at", "jobs", ["received_at"])
    op.create_index("ix_jobs_type_state_received_at", "jobs", ["type", "state", "received_at"])
    has_tenant, has_error = sa.text("tenant IS NOT NULL"), sa.text("error IS NOT NULL")
    op.create_index(
        "ix_jobs_tenant_received_at",
        "jobs",
        ["tenant", "received_at"],
        sqlite_where=has_tenant,
        postgresql_where=has_tenant,
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    code = "json_extract(error, '$.code')" if sqlite else "(CAST(error AS JSON) ->> 'code')"
    op.create_index(
        "ix_jobs_error_code", "jobs", [sa.text(code), "received_at"], sqlite_where=has_error, postgresql_where=has_error
    )


def downgrade() -> None:
    for name in ("error_code", "tenant_received_at", "type_state_received_at", "received_at"):
        op.drop_index(f"ix_jobs_{name}", "jobs")
    op.drop_table("schema_info")
