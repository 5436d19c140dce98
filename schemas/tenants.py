"""Tenants: who may read and write where. Compared byte by byte, folder by folder; no input or output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.errors import TenantForbidden, TenantRequired, TenantUnknown
from schemas.reference import check_bucket, split_s3

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def location(value: str) -> str:
    """``s3://bucket/prefix/``: a folder and everything beneath it. ``s3://bucket/tenant-a`` means the same.

    Raises:
        ValueError: it is no such folder.
    """
    scheme, separator, rest = value.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator:
        raise ValueError("must be s3://bucket/prefix/")
    check_bucket(bucket)
    if "*" in prefix:
        raise ValueError("takes no star: a folder is allowed with everything beneath it")
    if prefix and any(segment in ("", ".", "..") for segment in prefix.removesuffix("/").split("/")):
        raise ValueError("the prefix must not have empty, . or .. segments")
    return f"s3://{bucket}/{prefix.removesuffix('/')}/" if prefix else f"s3://{bucket}/"


def lies_beneath(uri: str, folder: str) -> bool:
    """Whether ``uri`` names something in ``folder``, which ends with a slash.

    The key is literal, so ``tenant-ab/`` is not in ``tenant-a/``. A key with a ``.`` or ``..`` segment lies
    nowhere: S3 takes it as it is, but a proxy or another server in between may resolve it.
    """
    try:
        _, key = split_s3(uri)
    except ValueError:
        return False
    return uri.startswith(folder) and not any(segment in (".", "..") for segment in key.split("/"))


Location = Annotated[str, AfterValidator(location)]


class Tenant(BaseModel):
    """What one tenant may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Folders of inputs.
    read: list[Location] = []
    #: Folders of results; they may be read too.
    write: list[Location] = []
    #: Where results go when a request names no output.
    output: Location | None = None
    #: Messages from these queues are this tenant's, and no other message is.
    queues: list[Annotated[str, Field(min_length=1)]] = []
    #: Names of the signing secrets that its callbacks may use; none named: any.
    callback_secrets: list[Annotated[str, Field(min_length=1)]] = []


def check_tenants(tenants: Mapping[str, Tenant]) -> None:
    """Returns if the rules can be kept.

    Raises:
        ValueError: a name that no request can carry, a queue of two tenants, an output outside of ``write``.
    """
    owners: dict[str, str] = {}
    for name, tenant in tenants.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no tenant's name; use 1-64 letters, digits, dots, hyphens or underscores")
        if tenant.output is not None and not any(tenant.output.startswith(folder) for folder in tenant.write):
            raise ValueError(f"{name}.output {tenant.output} lies beneath none of {name}.write; add it there")
        for queue in tenant.queues:
            if owners.setdefault(queue, name) != name:
                raise ValueError(f"the queue {queue!r} belongs to {owners[queue]} and to {name}; it can have one owner")


@dataclass(frozen=True)
class TenantRules:
    """The tenants of an installation. Without any, everything is allowed and ``tenant`` is a mere label."""

    tenants: Mapping[str, Tenant] = field(default_factory=dict)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {queue: name for name, tenant in self.tenants.items() for queue in tenant.queues}

    def resolve(self, named: str | None, source: str, *, rule: str | None = None) -> str | None:
        """The tenant of a message from the queue ``source`` that names ``named``; ``rule``: a trigger rule's tenant.

        Raises:
            TenantRequired, TenantUnknown: there is none.
            TenantForbidden: the queue or the rule belongs to another one.
        """
        if not self.tenants:
            return named if named is not None else rule
        bound = self._owners.get(source)
        if rule is not None and bound not in (None, rule):
            raise TenantForbidden("the queue belongs to another tenant than the trigger rule", field="tenant")
        bound = bound or rule
        if named is not None and bound not in (None, named):
            raise TenantForbidden(
                f"tenant: messages on this queue are those of {bound!r}, not of {named!r}; leave `tenant` out",
                field="tenant",
            )
        name = bound or named
        if name is None:
            raise TenantRequired(field="tenant")
        if name not in self.tenants:
            raise TenantUnknown(f"tenant: {name!r} does not exist here; ask the operator to set it up", field="tenant")
        if bound is None and self.tenants[name].queues:
            raise TenantForbidden(f"tenant: requests of {name!r} are taken from its own queues only", field="tenant")
        return name

    def check_read(self, tenant: str | None, uri: str, *, field: str) -> None:
        """Returns if the tenant may read ``uri``: an ``s3://`` name beneath its folders, or any ``https://`` address.

        Raises:
            TenantForbidden: it may not, or ``uri`` is a file of the machine.
        """
        if not self.tenants:
            return
        share = self._share(tenant)
        scheme = uri.partition(":")[0].lower()
        if scheme in ("http", "https"):
            return
        if scheme != "s3":
            raise TenantForbidden(f"{field}: only s3:// and https:// inputs are taken from tenants", field=field)
        folders = [*share.read, *share.write]
        if not any(lies_beneath(uri, folder) for folder in folders):
            raise TenantForbidden(f"{field}: {uri[:200]!r} {_outside(tenant, 'read', folders)}", field=field)

    def check_write(self, tenant: str | None, uri: str, *, field: str = "output") -> None:
        """Returns if the tenant may write ``uri``, an object or a folder with its final slash.

        Raises:
            TenantForbidden: it may not.
        """
        if not self.tenants:
            return
        folders = self._share(tenant).write
        # A bucket alone is a folder too, but has no key.
        if uri not in folders and not any(lies_beneath(uri, folder) for folder in folders):
            raise TenantForbidden(f"{field}: {uri[:200]!r} {_outside(tenant, 'write', folders)}", field=field)

    def check_secret(self, tenant: str | None, name: str | None) -> None:
        """Returns if the tenant's callbacks may be signed with the secret ``name``, or with the default one.

        Of a message without a tenant, only its refusal is ever told, with a secret that is no tenant's own.

        Raises:
            TenantForbidden: they may not: a receiver would take them for another tenant's.
        """
        if tenant is None:
            owned = {secret for share in self.tenants.values() for secret in share.callback_secrets}
            if (name or "default") in owned:
                raise TenantForbidden("callback.secret_name: is a tenant's own", field="callback.secret_name")
            return
        allowed = self._share(tenant).callback_secrets if self.tenants else []
        if allowed and (name or "default") not in allowed:
            raise TenantForbidden(
                f"callback.secret_name: name one of the secrets of {tenant!r}: {', '.join(allowed)}",
                field="callback.secret_name",
            )

    def output_of(self, tenant: str | None) -> str | None:
        """The tenant's own default output, if it has one."""
        share = None if tenant is None else self.tenants.get(tenant)
        return None if share is None else share.output

    def _share(self, tenant: str | None) -> Tenant:
        if tenant is None:
            raise TenantRequired(field="tenant")
        if tenant not in self.tenants:
            raise TenantUnknown(f"tenant: {tenant!r} does not exist here any more", field="tenant")
        return self.tenants[tenant]


def _outside(tenant: str | None, verb: str, folders: list[str]) -> str:
    if not folders:
        return f"cannot be used: tenant {tenant!r} may {verb} nowhere"
    return f"lies outside of what tenant {tenant!r} may {verb}: {', '.join(folders[:8])}"
