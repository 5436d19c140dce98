"""Tenants and their permissions: which locations each may read and write. Pure comparisons of names, without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.errors import TenantForbidden, TenantRequired, TenantUnknown
from schemas.reference import check_bucket, has_url, scheme_of, split_s3

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def location(value: str) -> str:
    """Return a folder as ``s3://bucket/prefix/``; it includes everything below it. The final slash is optional.

    Raises:
        ValueError: it is not a folder in a bucket.
    """
    scheme, separator, rest = value.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator:
        raise ValueError("must be s3://bucket/prefix/")
    check_bucket(bucket)
    if "*" in prefix:
        raise ValueError("must not contain a star: a folder includes everything below it")
    if prefix and any(segment in ("", ".", "..") for segment in prefix.removesuffix("/").split("/")):
        raise ValueError("the prefix must not have empty, . or .. segments")
    return f"s3://{bucket}/{prefix.removesuffix('/')}/" if prefix else f"s3://{bucket}/"


def is_below(uri: str, folder: str) -> bool:
    """Return whether ``uri`` names an object in ``folder``, which ends with a slash.

    Keys are compared literally, so ``tenant-ab/`` is not in ``tenant-a/``. A key with a ``.`` or ``..`` segment is in
    no folder: S3 takes it literally, but a proxy or another server may resolve it.
    """
    try:
        _, key = split_s3(uri)
    except ValueError:
        return False
    return uri.startswith(folder) and not any(segment in (".", "..") for segment in key.split("/"))


Location = Annotated[str, AfterValidator(location)]


class Tenant(BaseModel):
    """Permissions of one tenant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Folders that inputs may come from.
    read: list[Location] = []
    #: Folders that results may go to; they may be read, too.
    write: list[Location] = []
    #: Default location of results.
    output: Location | None = None
    #: Every message from these queues belongs to this tenant, and a tenant with queues cannot use others.
    queues: list[Annotated[str, Field(min_length=1)]] = []
    #: Names of the signing secrets that its callbacks may use; empty: any.
    callback_secrets: list[Annotated[str, Field(min_length=1)]] = []


def check_tenants(tenants: Mapping[str, Tenant]) -> None:
    """Check that the tenants are consistent.

    Raises:
        ValueError: a name is invalid, a queue belongs to two tenants, or an output is outside of ``write``.
    """
    owners: dict[str, str] = {}
    for name, tenant in tenants.items():
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a valid tenant name; use 1-64 letters, digits, dots, hyphens or underscores"
            )
        if tenant.output is not None and not any(tenant.output.startswith(folder) for folder in tenant.write):
            raise ValueError(f"{name}.output {tenant.output} is not below a folder of {name}.write; add it there")
        for queue in tenant.queues:
            if owners.setdefault(queue, name) != name:
                raise ValueError(
                    f"the queue {queue!r} belongs to {owners[queue]} and to {name}; it can have only one owner"
                )


@dataclass(frozen=True)
class TenantRules:
    """The tenants of an installation. Without tenants everything is allowed, and ``tenant`` is only a label."""

    tenants: Mapping[str, Tenant] = field(default_factory=dict)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {queue: name for name, tenant in self.tenants.items() for queue in tenant.queues}

    def resolve(self, named: str | None, source: str, *, rule: str | None = None) -> str | None:
        """Return the tenant that a message belongs to.

        Args:
            named: the tenant that the message names.
            source: the queue that the message came from.
            rule: the tenant of the trigger rule that made the request.

        Raises:
            TenantRequired: neither the message, the queue nor the rule has a tenant.
            TenantUnknown: the tenant does not exist.
            TenantForbidden: the queue or the rule belongs to another tenant.
        """
        if not self.tenants:
            return named if named is not None else rule
        bound = self._owners.get(source)
        if rule is not None and bound not in (None, rule):
            raise TenantForbidden("the queue and the trigger rule belong to different tenants", field="tenant")
        bound = bound or rule
        if named is not None and bound not in (None, named):
            raise TenantForbidden(
                f"tenant: messages on this queue belong to {bound!r}, not to {named!r}; remove `tenant`",
                field="tenant",
            )
        name = bound or named
        if name is None:
            raise TenantRequired(field="tenant")
        if name not in self.tenants:
            raise TenantUnknown(f"tenant: {name!r} does not exist; ask the operator to set it up", field="tenant")
        if bound is None and self.tenants[name].queues:
            raise TenantForbidden(f"tenant: requests of {name!r} are accepted from its own queues only", field="tenant")
        return name

    def check_read(self, tenant: str | None, uri: str, *, field: str) -> None:
        """Check that the tenant may read ``uri``: an object below its folders, or any ``http(s)://`` URL.

        Raises:
            TenantForbidden: it may not, or ``uri`` is a local file.
        """
        if not self.tenants:
            return
        share = self._share(tenant)
        if has_url(uri):
            return
        if scheme_of(uri) != "s3":
            raise TenantForbidden(f"{field}: tenants may use s3:// and https:// inputs only", field=field)
        folders = [*share.read, *share.write]
        if not any(is_below(uri, folder) for folder in folders):
            raise TenantForbidden(f"{field}: {uri[:200]!r} {_outside(tenant, 'read', folders)}", field=field)

    def check_write(self, tenant: str | None, uri: str, *, field: str = "output") -> None:
        """Check that the tenant may write ``uri``, an object or a folder with a final slash.

        Raises:
            TenantForbidden: it may not.
        """
        if not self.tenants:
            return
        folders = self._share(tenant).write
        # A whole bucket is a folder, too, but has no key.
        if uri not in folders and not any(is_below(uri, folder) for folder in folders):
            raise TenantForbidden(f"{field}: {uri[:200]!r} {_outside(tenant, 'write', folders)}", field=field)

    def check_secret(self, tenant: str | None, name: str | None) -> None:
        """Check that the tenant's callbacks may be signed with the secret ``name``, or with the default one.

        A message without a tenant can only lead to a failure callback; a tenant's own secret may not sign it.

        Raises:
            TenantForbidden: they may not, because a receiver would attribute the callback to another tenant.
        """
        if tenant is None:
            owned = {secret for share in self.tenants.values() for secret in share.callback_secrets}
            if (name or "default") in owned:
                raise TenantForbidden("callback.secret_name: belongs to a tenant", field="callback.secret_name")
            return
        allowed = self._share(tenant).callback_secrets if self.tenants else []
        if allowed and (name or "default") not in allowed:
            raise TenantForbidden(
                f"callback.secret_name: use one of the secrets of {tenant!r}: {', '.join(allowed)}",
                field="callback.secret_name",
            )

    def output_of(self, tenant: str | None) -> str | None:
        """Return the tenant's own default output, if it has one."""
        share = None if tenant is None else self.tenants.get(tenant)
        return None if share is None else share.output

    def _share(self, tenant: str | None) -> Tenant:
        if tenant is None:
            raise TenantRequired(field="tenant")
        if tenant not in self.tenants:
            raise TenantUnknown(f"tenant: {tenant!r} no longer exists", field="tenant")
        return self.tenants[tenant]


def _outside(tenant: str | None, verb: str, folders: list[str]) -> str:
    if not folders:
        return f"cannot be used: tenant {tenant!r} may {verb} nowhere"
    return f"is outside of what tenant {tenant!r} may {verb}: {', '.join(folders[:8])}"
