"""Counters that outlive the jobs they count, written by triggers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
additive = True

# Triggers, because they also see what processes of the version before write, and cost no round trip: each event adds
# one narrow row in the transaction that it is part of. They must never fail: a job could not end.
_WAIT = "NEW.started_at - COALESCE(NEW.scheduled_for, NEW.received_at)"
_CODE = {
    "sqlite": "CASE WHEN json_valid(NEW.error) THEN json_extract(NEW.error, '$.code') END",
    "postgresql": "(CAST(NEW.error AS JSON) ->> 'code')",  # as in ix_jobs_error_code
}
_BYTES = {
    "sqlite": "CASE WHEN json_valid(NEW.outcome) THEN"
    " (SELECT SUM(json_extract(value, '$.bytes')) FROM json_each(NEW.outcome, '$.outputs')) END",
    "postgresql": "telecine_result_bytes(NEW.outcome)",
}
#: For PostgreSQL, where a text that is not JSON is an error.
_RESULT_BYTES = """CREATE FUNCTION telecine_result_bytes(outcome text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
    RETURN (SELECT SUM(CAST(item ->> 'bytes' AS bigint))
        FROM json_array_elements(CAST(outcome AS JSON) -> 'outputs') item);
EXCEPTION WHEN others THEN RETURN NULL;
END $$"""

#: Trigger, table, event, condition, and the values of kind, name, state, detail, tenant, wait, run and amount.
_TRIGGERS = (
    (
        "count_ended_job",
        "jobs",
        "UPDATE OF finished_at",
        "NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL",
        f"'job', NEW.type, NEW.state, {{code}}, NEW.tenant, {_WAIT}, NEW.finished_at - NEW.started_at, {{bytes}}",
    ),
    (
        "count_failed_attempt",
        "jobs",
        "UPDATE OF failures, crashes",
        "NEW.failures > OLD.failures OR NEW.crashes > OLD.crashes",
        "'attempt', NEW.type, CASE WHEN NEW.crashes > OLD.crashes THEN 'crash' ELSE 'failure' END,"
        " NULL, NULL, NULL, NULL, NULL",
    ),
    (
        "count_callback",
        "deliveries",
        "UPDATE OF attempts",
        "NEW.attempts > OLD.attempts",
        "'callback', NEW.event, NEW.state, NULL, NULL, NEW.delivered_at - NEW.created_at, NULL, NULL",
    ),
    (
        "count_ended_call",
        "calls",
        "UPDATE OF finished_at",
        "NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL",
        "'call', NEW.provider, NEW.state, NEW.model, NEW.tenant, NULL, NEW.finished_at - NEW.submitted_at, NEW.spent",
    ),
    (
        "count_call_failure",
        "calls",
        "UPDATE OF failures",
        "NEW.failures > OLD.failures",
        "'call_failure', NEW.provider, NULL, NEW.model, NULL, NULL, NULL, NULL",
    ),
    (
        "count_dead_letter",
        "rejections",
        "INSERT",
        "",
        "'dead_letter', NULL, NULL, NEW.code, NULL, NULL, NULL, NULL",
    ),
)


def upgrade() -> None:
    not_ended = sa.text("finished_at IS NULL")
    op.create_index("ix_calls_open", "calls", ["provider", "state"], sqlite_where=not_ended, postgresql_where=not_ended)
    op.create_table(
        "counter_log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.String(length=128), nullable=True),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        sa.Column("wait", sa.Double(), nullable=True),
        sa.Column("run", sa.Double(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_counter_log")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("labels", sa.String(length=512), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_counters")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.text(_RESULT_BYTES))
    for trigger in _TRIGGERS:
        _create(*trigger)


def _create(name: str, table: str, event: str, condition: str, values: str) -> None:
    dialect = op.get_bind().dialect.name
    when = f" WHEN ({condition})" if condition else ""
    insert = (
        "INSERT INTO counter_log (kind, name, state, detail, tenant, wait, run, amount)"  # noqa: S608 - constants
        f" VALUES ({values.replace('{code}', _CODE[dialect]).replace('{bytes}', _BYTES[dialect])})"
    )
    if dialect == "sqlite":
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW{when} BEGIN {insert}; END")
        return
    op.execute(
        f"CREATE FUNCTION telecine_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {insert}; RETURN NULL; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW{when} EXECUTE FUNCTION telecine_{name}()")


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name, table, *_ in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}" + (f" ON {table}" if postgresql else ""))
        if postgresql:
            op.execute(f"DROP FUNCTION telecine_{name}()")
    if postgresql:
        op.execute("DROP FUNCTION telecine_result_bytes(text)")
    op.drop_table("counters")
    op.drop_table("counter_log")
    op.drop_index("ix_calls_open", "calls")
