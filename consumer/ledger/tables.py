"""The ledger's tables. Times are epoch seconds of the database's clock; JSON is stored as text."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite counts rows by itself only for INTEGER keys.
_Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("priority", sa.String(8), nullable=False),
    sa.Column("tenant", sa.String(64)),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("door", sa.String(32), nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("deadline_at", sa.Double),
    # Nobody may claim the job before this time.
    sa.Column("not_before", sa.Double, nullable=False),
    # When the sweep next looks at the job; null once it is terminal.
    sa.Column("wake_at", sa.Double),
    sa.Column("wakes", sa.Integer, nullable=False, default=0),
    sa.Column("lease_until", sa.Double),
    sa.Column("lease_owner", sa.String(255)),
    # The fencing number: goes up with every claim; every later write names it.
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
    sa.Column("crashes", sa.Integer, nullable=False, default=0),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("duplicates", sa.Integer, nullable=False, default=0),
    sa.Column("progress", sa.Integer, nullable=False, default=0),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.Text),
    sa.Index(None, "wake_at"),
    sa.Index(None, "state", "received_at"),
)

# What is open, in the order in which workers take it.
sa.Index(
    "ix_jobs_open",
    jobs.c.role,
    jobs.c.priority,
    jobs.c.received_at,
    sqlite_where=jobs.c.wake_at.is_not(None),
    postgresql_where=jobs.c.wake_at.is_not(None),
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("job_id", sa.String(128), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("result", sa.Text),
)

timeline = sa.Table(
    "timeline",
    metadata,
    sa.Column("seq", _Counter, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String(128), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("event", sa.String(48), nullable=False),
    sa.Column("epoch", sa.Integer),
    sa.Column("detail", sa.Text),
    sa.Index(None, "job_id", "seq"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("job_id", sa.String(128)),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("url", sa.String(2048), nullable=False),
    sa.Column("secret_name", sa.String(64)),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("due_at", sa.Double),
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
    sa.Column("delivered_at", sa.Double),
    sa.Column("last_answer", sa.String(255)),
    sa.Index(None, "due_at"),
    sa.Index(None, "job_id"),
)

rejections = sa.Table(
    "rejections",
    metadata,
    sa.Column("seq", _Counter, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("door", sa.String(32), nullable=False),
    sa.Column("source", sa.String(1024), nullable=False),
    sa.Column("request_id", sa.String(128)),
    sa.Column("code", sa.String(48), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("replayed_at", sa.Double),
    sa.Index(None, "request_id"),
)
