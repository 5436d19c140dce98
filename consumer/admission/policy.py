"""The operator's rules for a request before it becomes a job. Pure: no input or output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from consumer.callbacks.game import GameApi
from providers.http.guard import Policy, check_url
from schemas.envelope import CallbackSpec, Cancellation, Priority, Request
from schemas.errors import AddressForbidden, InvalidField, RequestError, UnknownType
from schemas.reference import has_url, references
from schemas.tenants import TenantRules
from schemas.triggers import NO_TRIGGERS, TriggerRules


@dataclass(frozen=True, slots=True)
class UploadOrigin:
    """The upload that a request was made from."""

    #: ``s3://bucket/key`` of the uploaded object.
    uri: str
    #: The tenant that the trigger rule is bound to.
    rule_tenant: str | None = None


@dataclass(frozen=True, slots=True)
class AdmissibleRequest:
    """A request that may become a job, with the settings' defaults filled in."""

    #: With its tenant, taken from the request, its queue or its trigger rule.
    request: Request
    role: str
    #: The request's own priority, or else its queue's.
    priority: Priority
    #: Output URI for a request that names none; ``None`` means the settings' default.
    output: str | None
    #: With its URL filled in.
    callback: CallbackSpec | None = None


@dataclass(frozen=True)
class AdmissionPolicy:
    """Checks requests against what this installation supports and permits."""

    #: Job type to worker role.
    roles: Mapping[str, str]
    secret_names: frozenset[str]
    #: Addresses that callbacks may be sent to.
    policy: Policy
    max_message_bytes: int
    tenants: TenantRules = field(default_factory=TenantRules)
    #: Queue name to the priority of its requests that name none.
    queue_priorities: Mapping[str, Priority] = field(default_factory=dict)
    #: Output URI when neither the request nor its tenant names one.
    output: str = "s3://results/"
    triggers: TriggerRules = NO_TRIGGERS
    #: The signing secret of callbacks that name none.
    default_signer: str = "default"
    #: Destination of callbacks in format ``game``.
    game: GameApi = field(default_factory=GameApi)
    #: Raises for a request that no model of the catalogue can run.
    check_models: Callable[[Request], None] = lambda request: None
    #: Returns the role for a request, if it depends on more than its type.
    role_of: Callable[[Request], str] | None = None

    def check(self, request: Request, source: str = "", *, origin: UploadOrigin | None = None) -> AdmissibleRequest:
        """Check a request from the queue or folder ``source`` and fill in what the settings decide.

        The tenant of a request made from an upload must be allowed to read the uploaded object: otherwise a forged
        event could have another tenant's objects read.

        Raises:
            RequestError: The request names something that does not exist here, or that it may not use.
        """
        role = self._role(request)
        tenant = self.tenants.resolve(request.tenant, source, rule=origin.rule_tenant if origin else None)
        tenant_output = self.tenants.output_of(tenant)
        for name, uri in references(request.data):
            self.tenants.check_read(tenant, uri, field=f"data.{name}")
            if has_url(uri):
                self._check_address(uri, f"data.{name}")
        if origin is not None:
            self.tenants.check_read(tenant, origin.uri, field="uploaded object")
        self.tenants.check_write(tenant, request.output or tenant_output or self.output)
        # The default output and the tenants' outputs are checked for loops at start-up.
        self.triggers.check_no_loop(request.output)
        callback = None if request.callback is None else self.game.with_url(request.callback)
        if callback is not None:
            self._check_callback(callback, tenant)
        if tenant != request.tenant:
            request = request.model_copy(update={"tenant": tenant})
        return AdmissibleRequest(request, role, self._priority(request, source), tenant_output, callback)

    def check_cancellation(self, cancellation: Cancellation, source: str) -> Cancellation:
        """Return the cancellation with the tenant whose jobs it may cancel; ``None`` means any job.

        Raises:
            RequestError: This installation has tenants and the message does not belong to one.
        """
        return cancellation.model_copy(update={"tenant": self.tenants.resolve(cancellation.tenant, source)})

    def may_notify(
        self, callback: CallbackSpec, tenant: object = None, source: str = "", *, origin: UploadOrigin | None = None
    ) -> bool:
        """Return whether the callback about a dead letter may be sent, given the ``tenant`` that the message names.

        Otherwise an invalid upload could obtain a callback that is signed with another tenant's secret.
        """
        verified: str | None = None
        with contextlib.suppress(RequestError):
            named = tenant if isinstance(tenant, str) else None
            resolved = self.tenants.resolve(named, source, rule=origin.rule_tenant if origin else None)
            if origin is not None:
                self.tenants.check_read(resolved, origin.uri, field="uploaded object")
            verified = resolved
        try:
            self._check_callback(self.game.with_url(callback), verified)
        except RequestError:
            return False
        return True

    def _role(self, request: Request) -> str:
        role = self.roles.get(request.type)
        if role is None:
            raise UnknownType(
                f"type {request.type!r} does not exist on this worker; available: {', '.join(sorted(self.roles))}",
                field="type",
            )
        self.check_models(request)
        return role if self.role_of is None else self.role_of(request)

    def _priority(self, request: Request, source: str) -> Priority:
        if "priority" in request.model_fields_set:
            return request.priority
        return self.queue_priorities.get(source, request.priority)

    def _check_callback(self, callback: CallbackSpec, tenant: str | None) -> None:
        self._check_address(callback.url, "callback.url")
        if callback.format == "game":
            self.game.check(callback)
        if callback.secret_name is not None and callback.secret_name not in self.secret_names:
            raise InvalidField(
                f"callback.secret_name: {callback.secret_name!r} is not configured; available: "
                f"{', '.join(sorted(self.secret_names)) or 'none'}",
                field="callback.secret_name",
            )
        self.tenants.check_secret(tenant, callback.secret_name or self.default_signer)

    def _check_address(self, url: str, field_path: str) -> None:
        """Check that the URL may be called, by its text alone; its host is looked up when it is called."""
        try:
            check_url(url, self.policy)
        except AddressForbidden as error:
            raise AddressForbidden(f"{field_path}: {error.message}", field=field_path) from None
