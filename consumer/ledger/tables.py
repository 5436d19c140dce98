"""The ledger's tables. Times are epoch seconds of the database's clock; JSON is stored as text.

The records in ``records.py`` and ``call_records.py`` say what a column of the same name means.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite autoincrements INTEGER keys only.
_Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Accepted requests; see ``Job``.
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
    # The job cannot be claimed before this time.
    sa.Column("not_before", sa.Double, nullable=False),
    # When the sweep wakes the job next; null once it is terminal or parked for a call.
    sa.Column("wake_at", sa.Double),
    # How often the sweep has woken the job since its last claim; the interval doubles with each.
    sa.Column("wakes", sa.Integer, nullable=False, default=0),
    sa.Column("lease_until", sa.Double),
    sa.Column("lease_owner", sa.String(255)),
    # The fencing number: incremented by every claim, named by every later write.
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
    sa.Column("crashes", sa.Integer, nullable=False, default=0),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("duplicates", sa.Integer, nullable=False, default=0),
    sa.Column("progress", sa.Integer, nullable=False, default=0),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("outcome", sa.Text),
    sa.Column("error", sa.Text),
    # For a job made from an upload: which version of its inputs is meant. Not part of the request.
    sa.Column("pins", sa.Text),
    # When the deletion of its results began; the record is kept.
    sa.Column("results_deleted_at", sa.Double),
    # The time before which the request must not start, if it names one.
    sa.Column("scheduled_for", sa.Double),
    # The line in which it waits for a worker: that of its tenant. Null if it is not due or has a worker.
    sa.Column("line", sa.String(64)),
    sa.Index(None, "wake_at"),
    sa.Index(None, "finished_at"),
    # For lists, newest first.
    sa.Index(None, "received_at"),
    sa.Index(None, "state", "received_at"),
    sa.Index(None, "type", "state", "received_at"),
)

_has_tenant = jobs.c.tenant.is_not(None)
sa.Index(
    "ix_jobs_tenant_received_at",
    jobs.c.tenant,
    jobs.c.received_at,
    sqlite_where=_has_tenant,
    postgresql_where=_has_tenant,
)

#: The SQL for a job's error code, by dialect, as in the index ``ix_jobs_error_code``, which only the migrations define:
#: Alembic cannot compare it. With a parameter in the expression no database would use it.
ERROR_CODE = {
    "sqlite": sa.literal_column("json_extract(error, '$.code')", sa.String),
    "postgresql": sa.literal_column("(CAST(error AS JSON) ->> 'code')", sa.String),
}

#: The columns of a ``Job``. Commands that read also know a ledger without the others.
JOB = tuple(column for column in jobs.c if column is not jobs.c.line)
#: The line of jobs without a tenant; not a valid name of one.
NO_TENANT = "(none)"
#: The SQL for the line that a job waits in when it is due.
LINE = sa.func.coalesce(jobs.c.tenant, sa.literal_column(f"'{NO_TENANT}'"))
_waits = sa.and_(jobs.c.line.is_not(None), jobs.c.wake_at.is_not(None))
# Waiting jobs in the order in which workers claim them: within a priority, the lines take turns.
sa.Index(
    "ix_jobs_line",
    jobs.c.role,
    jobs.c.priority,
    jobs.c.line,
    jobs.c.received_at,
    sqlite_where=_waits,
    postgresql_where=_waits,
)

# Open jobs in the order in which workers of the version before claim them.
sa.Index(
    "ix_jobs_open",
    jobs.c.role,
    jobs.c.priority,
    jobs.c.received_at,
    sqlite_where=jobs.c.wake_at.is_not(None),
    postgresql_where=jobs.c.wake_at.is_not(None),
)

# Manifests whose files are not flushed to the disk yet; see ``UnflushedManifest``.
unflushed_manifests = sa.Table(
    "unflushed_manifests",
    metadata,
    sa.Column("job_id", sa.String(128), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("uri", sa.String(2048), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

# Steps and their results; see ``Step``.
steps = sa.Table(
    "steps",
    metadata,
    sa.Column("job_id", sa.String(128), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    # The job's epoch at the last write.
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("result", sa.Text),
)

# What happened to jobs; see ``TimelineEntry``.
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

# The outbox: callbacks until they are delivered or given up, kept until their job is deleted; see ``Delivery``.
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
    # For lists, newest first.
    sa.Index(None, "created_at"),
)

#: The condition of the index for lists of callbacks in one state. Without parameters, so that a database can use it.
NOT_DELIVERED = deliveries.c.state != sa.literal_column("'delivered'")
sa.Index(
    "ix_deliveries_state_created_at",
    deliveries.c.state,
    deliveries.c.created_at,
    sqlite_where=NOT_DELIVERED,
    postgresql_where=NOT_DELIVERED,
)

# Uploaded objects that a trigger rule covers, until they are jobs or dead letters; see ``ClaimedUpload``.
uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("seq", _Counter, primary_key=True, autoincrement=True),
    # When the notification arrived, through which door and from where, such as a queue.
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("door", sa.String(32), nullable=False),
    sa.Column("source", sa.String(1024), nullable=False),
    # A notification with this one record.
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    # When it can be claimed: at once, after a delay, or when the claim of a dead process expires.
    sa.Column("due_at", sa.Double, nullable=False),
    # How often it was claimed; every later write names it.
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    # The last error, for people.
    sa.Column("reason", sa.Text),
    sa.Index(None, "due_at"),
)

# Dead letters; see ``DeadLetter``.
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

# Calls of remote providers: one row for each attempt of a step at one model. The row is the intent, written
# before anything is sent, and later the outcome.
calls = sa.Table(
    "calls",
    metadata,
    # The idempotency key, derived from job, step and attempt.
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("job_id", sa.String(128), nullable=False),
    sa.Column("step", sa.String(64), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    # Empty for requests without a tenant, so that it can be compared.
    sa.Column("tenant", sa.String(64), nullable=False, default=""),
    sa.Column("urgency", sa.Integer, nullable=False, default=1),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    # The provider's task: id and what else polling needs.
    sa.Column("task", sa.Text),
    # When the engine acts on it next; null if it has ended or waits for a person.
    sa.Column("due_at", sa.Double),
    sa.Column("lease_until", sa.Double),
    sa.Column("lease_owner", sa.String(255)),
    # The fencing number, as for jobs.
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
    sa.Column("queued_at", sa.Double, nullable=False),
    sa.Column("submitted_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    # If it is not ready by then, it is abandoned.
    sa.Column("give_up_at", sa.Double),
    sa.Column("polls", sa.Integer, nullable=False, default=0),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    # Millionths of a US dollar: reserved while it is open, and spent in the end.
    sa.Column("reserved", sa.BigInteger, nullable=False, default=0),
    sa.Column("spent", sa.BigInteger, nullable=False, default=0),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Index(None, "due_at"),
    sa.Index(None, "job_id", "step", "attempt"),
    sa.Index(None, "provider", "state", "queued_at"),
    sa.Index(None, "tenant", "submitted_at"),
    # For the spend of a period.
    sa.Index(None, "submitted_at"),
)

_not_ended = calls.c.finished_at.is_(None)
# Also the order in which queued calls are submitted: at the same urgency, tenants take turns.
sa.Index(
    "ix_calls_open",
    *(calls.c.provider, calls.c.state, calls.c.urgency, calls.c.tenant, calls.c.queued_at),
    sqlite_where=_not_ended,
    postgresql_where=_not_ended,
)

# The shared state of a provider's account: rate limit and circuit breaker.
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("provider", sa.String(32), primary_key=True),
    # A token bucket: how many submissions may go out now; refilled over time.
    sa.Column("tokens", sa.Double, nullable=False, default=0.0),
    sa.Column("tokens_at", sa.Double, nullable=False, default=0.0),
    # ``closed``, ``open`` or ``half``: open lets nothing through until ``open_until``, half lets one through.
    sa.Column("breaker", sa.String(8), nullable=False, default="closed"),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("open_until", sa.Double, nullable=False, default=0.0),
    # The provider asked for no requests until then.
    sa.Column("paused_until", sa.Double, nullable=False, default=0.0),
    sa.Column("last_error", sa.String(255)),
)

# Job types and providers that an operator has paused; see ``Pause``.
pauses = sa.Table(
    "pauses",
    metadata,
    # ``type`` or ``provider``.
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("by", sa.String(128), nullable=False),
)

# What has happened since the counters were last added up. Triggers write it, see migration 0008; ``counters.py`` says
# what each kind means.
counter_log = sa.Table(
    "counter_log",
    metadata,
    sa.Column("seq", _Counter, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(16), nullable=False),
    # The job type, the callback's event or the provider.
    sa.Column("name", sa.String(64)),
    sa.Column("state", sa.String(16)),
    # The error code or the model.
    sa.Column("detail", sa.String(128)),
    sa.Column("tenant", sa.String(64)),
    # Seconds to the start or to the delivery, and from the start to the end.
    sa.Column("wait", sa.Double),
    sa.Column("run", sa.Double),
    # Bytes, or null if unknown; millionths of a US dollar, with 0 for an unknown price.
    sa.Column("amount", sa.BigInteger),
)

# The counters of ``/metrics``: they only grow, also when jobs are deleted.
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    # The values of its labels, as a JSON list.
    sa.Column("labels", sa.String(512), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# One row, written by each migration.
schema_info = sa.Table(
    "schema_info",
    metadata,
    # The newest migration that is not additive: code that knows it can use the ledger, although others followed.
    sa.Column("oldest_version", sa.String(32), primary_key=True),
)
