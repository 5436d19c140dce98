"""Estimates for a request on this machine: its inputs are fetched, no media is made and no ledger is opened."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from consumer.execution.inputs import fetch_input
from consumer.runtime import Runtime
from consumer.storage.factory import storage_of
from pipelines.context import AlignerOptions, ModelCall, ModelResult, StepFunction
from pipelines.media.sandbox.process import Bounds
from pipelines.reel import preview
from pipelines.registry import PIPELINES
from providers.catalogue import Catalogue
from providers.http.policy import Policy
from providers.local.host import ModelHost
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import InternalError, InvalidField, UnknownType
from schemas.media import InputFile, Plan, StoredArtifact
from schemas.reel import Reel
from schemas.settings import Settings
from schemas.tenants import TenantRules

if TYPE_CHECKING:
    from consumer.ledger.database import Database


def plan_request(settings: Settings, request: Request) -> Plan:
    """Return what the request would produce, how long it would take and what it would cost.

    Raises:
        TelecineError: If an input cannot be used, or no pipeline handles this job type.
    """
    pipeline = PIPELINES.get(request.type)
    if pipeline is None:
        raise UnknownType(f"unknown job type {request.type!r}; available: {', '.join(sorted(PIPELINES))}", field="type")
    with _plan_context(settings, request) as context:
        plan: Plan = pipeline.plan(request.data, context)
    return plan


def preview_request(settings: Settings, request: Request, target: Path) -> dict[str, Any]:
    """Write a contact sheet of a reel's captions to ``target``; return how many there are and how many it shows.

    Raises:
        TelecineError: If an input cannot be used, or the request is not for a reel.
        OSError: If ``target`` cannot be written.
    """
    if not isinstance(request.data, Reel):
        raise InvalidField("only a reel has a preview", field="type")
    with _plan_context(settings, request) as context:
        return preview(request.data, context, target)


@contextlib.contextmanager
def _plan_context(settings: Settings, request: Request) -> Iterator[PlanContext]:
    with tempfile.TemporaryDirectory(prefix="telecine-plan-") as folder:
        runtime = _runtime(settings)
        tenant = runtime.tenants.resolve(request.tenant, settings.own_queue)
        yield PlanContext(runtime, Path(folder, "inputs"), tenant=tenant)


class PlanContext:
    """``pipelines.context.Context`` for a plan: it fetches inputs and refuses to run steps, calls and models."""

    def __init__(self, runtime: Runtime, folder: Path, *, tenant: str | None) -> None:
        self._runtime = runtime
        self._folder = folder
        self._tenant = tenant

    @property
    def bounds(self) -> Bounds:
        """Resource limits of the child process that reads the inputs."""
        return self._runtime.bounds

    @property
    def aligner(self) -> AlignerOptions:
        """How lyrics are aligned on this worker."""
        return self._runtime.aligner

    @property
    def catalogue(self) -> Catalogue:
        """The models that are available."""
        return self._runtime.catalogue

    @property
    def host(self) -> ModelHost:
        """Not available in a plan.

        Raises:
            InternalError: Always.
        """
        raise InternalError("this plan tried to run a local model; a plan must not make media")

    @property
    def seed(self) -> int:
        """A fixed value, because a plan does not make media."""
        return 0

    def annotate(self, **details: Any) -> None:
        """Ignore the details: a plan has no manifest."""

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """Return the file at ``uri``, fetched in the same way as by a worker."""
        return fetch_input(
            self._runtime, name, uri, self._folder, kinds=kinds, limit_bytes=limit_bytes, tenant=self._tenant
        )

    def step(self, name: str, make: StepFunction) -> Sequence[StoredArtifact]:
        """Not available in a plan.

        Raises:
            InternalError: Always.
        """
        raise InternalError(f"this plan tried to run the step {name!r}; a plan must not make media", step=name)

    def call(self, name: str, call: ModelCall) -> ModelResult:
        """Not available in a plan.

        Raises:
            InternalError: Always.
        """
        raise InternalError(f"this plan tried to call a provider in step {name!r}; a plan must not pay", step=name)


def _runtime(settings: Settings) -> Runtime:
    """Build the runtime that fetching inputs needs. It has no ledger: without SQLAlchemy, a plan starts faster."""
    return Runtime(
        settings=settings,
        database=cast("Database", None),
        storage=storage_of(settings),
        policy=Policy(allowed_hosts=frozenset(settings.allowed_private_hosts)),
        secrets={},
        pipelines=PIPELINES,
        catalogue=catalogue_of(settings),
        tenants=TenantRules(settings.tenants),
    )
