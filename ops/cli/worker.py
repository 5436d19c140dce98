"""``telecine worker``: a Celery worker for chosen roles."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.queues import ROLES
from schemas.errors import ConfigurationError
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("worker")(worker)


def worker(
    role: Annotated[str, typer.Option(help=f"Roles to serve, comma-separated: {', '.join(ROLES)}.")] = "io,render",
    concurrency: Annotated[int | None, typer.Option(help="Jobs at once; default TELECINE_CONCURRENCY.")] = None,
    name: Annotated[str | None, typer.Option(help="Node name; needed for two workers on one host.")] = None,
) -> None:
    """Run a Celery worker that advances jobs. Needs a broker."""
    settings = Settings()
    if settings.embedded:
        raise ConfigurationError("a worker of its own needs TELECINE_BROKER_URL; without a broker use `telecine up`")
    roles = [part.strip() for part in role.split(",") if part.strip()]
    if unknown := set(roles) - set(ROLES):
        raise ConfigurationError(f"there is no role {', '.join(sorted(unknown))}; the roles are {', '.join(ROLES)}")
    from consumer.worker import run_worker

    run_worker(roles, concurrency=concurrency or settings.concurrency, name=name)
