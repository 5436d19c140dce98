"""Settings of the ledger: leases and retries in it, and how long it keeps jobs."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from schemas.settings.part import SettingsPart

#: How other systems call the same database, and how SQLAlchemy does with the driver of ``telecine[postgres]``.
_POSTGRESQL, _PSYCOPG = ("postgres", "postgresql"), "postgresql+psycopg"
_SCHEMES = (_PSYCOPG, "sqlite", "sqlite+pysqlite")


class LedgerSettings(SettingsPart):
    """The database, the timing of leases, sweeps and retries, and the retention of jobs."""

    # Ledger
    ledger_url: SecretStr | None = Field(
        None, description="PostgreSQL, postgresql://…, or SQLite, sqlite:///…. Default: SQLite under home."
    )
    lease_seconds: float = Field(30.0, ge=1, description="Time without a heartbeat after which a job's lease expires.")
    sweep_seconds: float = Field(2.0, gt=0, description="Interval between sweeps for due jobs without a lease.")
    wake_again_seconds: float = Field(
        30.0, gt=0, description="Delay before a wake-up is repeated; doubles each time up to one hour."
    )
    max_crashes: int = Field(5, ge=1, description="Worker crashes on one job before it fails as worker_lost.")
    max_failures: int = Field(8, ge=1, description="Temporary faults of one job before it fails as retries_exhausted.")
    retry_seconds: float = Field(
        5.0, gt=0, description="Backoff after the first temporary fault; doubles each time up to 15 minutes."
    )

    # Retention
    results_ttl_days: float | None = Field(
        None, ge=0, description="Days after a job's end until its results are deleted. Default: they are kept."
    )
    jobs_ttl_days: float | None = Field(
        None,
        ge=0,
        description="Days after a job's end until its record is deleted, with its results. Default: it is kept.",
    )
    dead_letters_ttl_days: float | None = Field(
        30.0, ge=0, description="Days until a dead letter is deleted; empty: it is kept."
    )

    @field_validator("results_ttl_days", "jobs_ttl_days", "dead_letters_ttl_days", mode="before")
    @classmethod
    def _empty_is_never(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("ledger_url")
    @classmethod
    def _check_ledger_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        scheme, separator, rest = value.get_secret_value().partition(":")
        scheme = scheme.lower()
        if scheme in _POSTGRESQL:
            scheme = _PSYCOPG
        if not separator or scheme not in _SCHEMES:
            named = f"{scheme}:// is not a ledger of Telecine" if separator else "is not a valid URL"
            raise ValueError(f"{named}; use postgresql:// or sqlite:///")
        if scheme != _PSYCOPG and (not rest.strip("/") or ":memory:" in rest or "mode=memory" in rest):
            raise ValueError("is in memory, which other processes cannot read; name a file: sqlite:////folder/file")
        return SecretStr(f"{scheme}:{rest}")
