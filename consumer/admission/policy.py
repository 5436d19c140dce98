"""What the operator's settings say about a request, before it becomes a job. No input or output."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from consumer.callbacks.game import GameApi
from providers.http.guard import Policy, check_url
from schemas.envelope import CallbackSpec, Cancellation, Priority, Request
from schemas.errors import AddressForbidden, InvalidField, RequestError, UnknownType
from schemas.reference import references
from schemas.tenants import TenantRules
from schemas.triggers import NO_TRIGGERS, TriggerRules


@dataclass(frozen=True, slots=True)
class AdmissibleRequest:
    """A request that may become a job here."""

    #: With its tenant in it, whoever named that.
    request: Request
    role: str
    #: Its own, or that of its queue.
    priority: Priority
    #: Where its results go if it names no output itself; ``None``: where the settings say.
    output: str | None
    #: With an address, whoever named that.
    callback: CallbackSpec | None = None


@dataclass(frozen=True)
class AdmissionPolicy:
    """Refuses what this installation cannot or may not do; answers what a request's job needs."""

    #: Job type to worker role.
    roles: Mapping[str, str]
    secret_names: frozenset[str]
    policy: Policy
    max_message_bytes: int
    tenants: TenantRules = field(default_factory=TenantRules)
    #: The priority of requests that name none, by queue.
    queue_priorities: Mapping[str, Priority] = field(default_factory=dict)
    #: Where results go when neither the request nor its tenant says.
    output: str = "s3://results/"
    triggers: TriggerRules = NO_TRIGGERS
    #: The signing secret of callbacks that name none.
    default_signer: str = "default"
    #: Where callbacks in format ``game`` go.
    game: GameApi = field(default_factory=GameApi)
    #: Refuses a request that no model of the catalogue can carry out.
    check_models: Callable[[Request], None] = lambda request: None
    #: The role that a request needs, where that depends on more than its type.
    role_of: Callable[[Request], str] | None = None

    def __call__(
        self, request: Request, source: str = "", *, rule_tenant: str | None = None, uploaded: str | None = None
    ) -> AdmissibleRequest:
        """The request as it is admitted from the queue or folder ``source``.

        ``rule_tenant`` is the tenant of the trigger rule that made the request, ``uploaded`` the object that it was
        made of: whoever can forge an event must not have another tenant's objects read.

        Raises:
            RequestError: the request names what does not exist here, or what it may not use or call.
        """
        role = self.roles.get(request.type)
        if role is None:
            raise UnknownType(
                f"type {request.type!r} does not exist on this worker; it has: {', '.join(sorted(self.roles))}",
                field="type",
            )
        self.check_models(request)
        if self.role_of is not None:
            role = self.role_of(request)
        tenant = self.tenants.resolve(request.tenant, source, rule=rule_tenant)
        output = self.tenants.output_of(tenant)
        for name, uri in references(request.data) if self.tenants.tenants else ():
            self.tenants.check_read(tenant, uri, field=f"data.{name}")
        if uploaded is not None:
            self.tenants.check_read(tenant, uploaded, field="uploaded object")
        self.tenants.check_write(tenant, request.output or output or self.output)
        self.triggers.check_no_loop(request.output)  # the other two were looked at when Telecine started
        callback = None if request.callback is None else self.game.addressed(request.callback)
        if callback is not None:
            self._check_callback(callback, tenant)
        if tenant != request.tenant:
            request = request.model_copy(update={"tenant": tenant})
        named = "priority" in request.model_fields_set
        priority = request.priority if named else self.queue_priorities.get(source, request.priority)
        return AdmissibleRequest(request, role, priority, output, callback)

    def cancellation(self, control: Cancellation, source: str) -> Cancellation:
        """The cancellation with the tenant whose jobs it may end; without one it may end any.

        Raises:
            RequestError: this installation has tenants and the message is none of theirs.
        """
        return control.model_copy(update={"tenant": self.tenants.resolve(control.tenant, source)})

    def may_notify(
        self,
        callback: CallbackSpec,
        tenant: object = None,
        source: str = "",
        *,
        rule_tenant: str | None = None,
        uploaded: str | None = None,
    ) -> bool:
        """Whether the refusal of a request that names ``tenant`` may be told to this address.

        Whoever uploads a request where one tenant may must not get a refusal signed with another's secret.
        """
        known: str | None = None
        with contextlib.suppress(RequestError):
            found = self.tenants.resolve(tenant if isinstance(tenant, str) else None, source, rule=rule_tenant)
            if uploaded is not None:
                self.tenants.check_read(found, uploaded, field="uploaded object")
            known = found
        try:
            self._check_callback(self.game.addressed(callback), known)
        except RequestError:
            return False
        return True

    def clock(self) -> dt.datetime:
        """The time that stands in a refusal."""
        return dt.datetime.now(dt.UTC)

    def _check_callback(self, callback: CallbackSpec, tenant: str | None) -> None:
        try:
            check_url(callback.url, self.policy)
        except AddressForbidden as error:
            raise AddressForbidden(f"callback.url: {error.message}", field="callback.url") from None
        if callback.format == "game":
            self.game.check(callback)
        if callback.secret_name is not None and callback.secret_name not in self.secret_names:
            raise InvalidField(
                f"callback.secret_name: {callback.secret_name!r} is not configured; this worker has: "
                f"{', '.join(sorted(self.secret_names)) or 'none'}",
                field="callback.secret_name",
            )
        self.tenants.check_secret(tenant, callback.secret_name or self.default_signer)
