"""``telecine worker``: run a Celery worker for selected roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consumer import logs
from consumer.wakeups.connection import worker_connection
from consumer.wakeups.queues import ROLES
from ops.cli.arguments import parse_names
from ops.cli.opening import read_settings, warn_of_unknown_variables
from schemas.errors import ConfigurationError
from schemas.settings import Settings

if TYPE_CHECKING:
    from ops.local_models_health import LocalModelsHealth


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(worker)


def worker(
    role: Annotated[str, typer.Option(help=f"Roles to serve, comma-separated: {', '.join(ROLES)}.")] = "io,render",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Number of parallel jobs; default: TELECINE_CONCURRENCY.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Node name shown by Celery's tools; default: roles and process id.")
    ] = None,
    status_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    report_callbacks: Annotated[bool, typer.Option(hidden=True)] = False,
    health: Annotated[bool, typer.Option(help="Serve health and metrics if TELECINE_HEALTH_PORT is set.")] = True,
) -> None:
    """Run a Celery worker that advances jobs. Needs a broker."""
    settings = read_settings()
    if settings.embedded:
        raise ConfigurationError("`telecine worker` needs TELECINE_BROKER_URL; without a broker run `telecine up`")
    roles = parse_names(role, ROLES, "role")
    from consumer.worker import run_worker

    if status_fd is not None:
        worker_connection.report_to(status_fd, callbacks=report_callbacks)
    logs.configure(settings.log_level, settings.log_format)
    if status_fd is None:
        warn_of_unknown_variables()
    if health and "health_port" in settings.model_fields_set:
        _serve_health(settings, gpu="gpu" in roles, slots=1 if "gpu" in roles else concurrency or settings.concurrency)
    run_worker(roles, concurrency=concurrency or settings.concurrency, name=name)


def _serve_health(settings: Settings, *, gpu: bool, slots: int) -> None:
    """Serve the health of the ledger, the broker connection and the local models until the process ends."""
    from consumer.ledger.database import Database
    from consumer.storage.factory import storage_of
    from ops.health import HealthServer
    from ops.health_client import installation_id
    from ops.ledger_probe import LedgerProbe
    from ops.storage_health import StorageHealth

    HealthServer(
        settings.health_host,
        settings.health_port,
        LedgerProbe(Database(settings.ledger), close_after=True),
        settings=settings,
        connections={"worker": lambda: worker_connection.connected},
        local=_local_models_health(settings) if gpu else None,
        installation=installation_id(settings),
        storage=StorageHealth(storage_of(settings), settings.output) if settings.storage_kind == "s3" else None,
        slots={"worker": slots},
    ).start()


def _local_models_health(settings: Settings) -> LocalModelsHealth:
    from consumer.app import runtime
    from ops.local_models_health import LocalModelsHealth
    from providers.registry import catalogue_of

    return LocalModelsHealth(lambda: runtime().host, list(catalogue_of(settings)), needed=True)
