"""Estimating a request on this machine: its inputs are fetched, nothing is made and no ledger is opened."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from consumer.execution.inputs import bounds_of, fetch_input
from consumer.ledger.database import Database
from consumer.runtime import Runtime, storage_of
from pipelines.context import Made, Renderer, Wanted
from pipelines.media.sandbox.process import Bounds
from pipelines.registry import PIPELINES
from providers.catalogue import Catalogue
from providers.http.policy import Policy
from providers.local.host import ModelHost
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import InternalError, UnknownType
from schemas.media import Artifact, InputFile, Plan
from schemas.settings import Settings


def plan_request(settings: Settings, request: Request) -> Plan:
    """What the request would make, and what it would take.

    Raises:
        TelecineError: an input cannot be used, or no pipeline makes this type.
    """
    pipeline = PIPELINES.get(request.type)
    if pipeline is None:
        raise UnknownType(
            f"type {request.type!r} does not exist here; there is: {', '.join(sorted(PIPELINES))}", field="type"
        )
    with tempfile.TemporaryDirectory(prefix="telecine-plan-") as folder:
        runtime = _runtime(settings, Path(folder))
        tenant = runtime.tenants.resolve(request.tenant, settings.own_queue)
        context = PlanContext(runtime, Path(folder, "inputs"), tenant=tenant)
        plan: Plan = pipeline.plan(request.data, context)
    return plan


class PlanContext:
    """Implements ``pipelines.context.Context`` for a plan: inputs, and nothing that makes anything."""

    def __init__(self, runtime: Runtime, folder: Path, *, tenant: str | None) -> None:
        self._runtime = runtime
        self._folder = folder
        self._tenant = tenant

    @property
    def bounds(self) -> Bounds:
        """What the child that reads the inputs may use."""
        return bounds_of(self._runtime.settings)

    @property
    def catalogue(self) -> Catalogue:
        """The models that there are."""
        return self._runtime.catalogue

    @property
    def host(self) -> ModelHost:
        """Never.

        Raises:
            InternalError: a plan makes nothing.
        """
        raise InternalError("the plan of this type wants to run a local model; a plan makes nothing")

    @property
    def seed(self) -> int:
        """Any: a plan makes nothing."""
        return 0

    def tell(self, **details: Any) -> None:
        """Nothing: a plan has no manifest."""

    def input(self, name: str, uri: str, *, kinds: Collection[str], limit_bytes: int) -> InputFile:
        """The file at ``uri``, fetched as a worker would fetch it."""
        return fetch_input(
            self._runtime, name, uri, self._folder, kinds=kinds, limit_bytes=limit_bytes, tenant=self._tenant
        )

    def call(self, step: str, renderer: Renderer) -> Sequence[Artifact]:
        """Never.

        Raises:
            InternalError: a plan makes nothing.
        """
        raise InternalError(f"the plan of this type wants to run the step {step!r}; a plan makes nothing", step=step)

    def ask(
        self,
        step: str,
        models: Sequence[str],
        parameters: Mapping[str, Any],
        *,
        inputs: Mapping[str, InputFile] = MappingProxyType({}),
        wanted: Wanted | None = None,
        as_type: str | None = None,
        seconds: float | None = None,
    ) -> Made:
        """Never.

        Raises:
            InternalError: a plan pays for nothing.
        """
        raise InternalError(f"the plan of this type wants to ask for the step {step!r}; a plan pays nothing", step=step)


def _runtime(settings: Settings, folder: Path) -> Runtime:
    """What fetching inputs needs. The ledger in it is never connected to."""
    return Runtime(
        settings=settings,
        database=Database(f"sqlite:///{folder / 'unused.sqlite3'}"),
        storage=storage_of(settings),
        policy=Policy(allowed_hosts=frozenset(settings.allowed_private_hosts)),
        secrets={},
        pipelines=PIPELINES,
        catalogue=catalogue_of(settings),
    )
