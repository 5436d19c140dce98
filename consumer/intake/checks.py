"""What the operator's settings say about a request, before it becomes a job. No input or output."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from providers.http.guard import Policy, check_url
from schemas.envelope import CallbackSpec, Request
from schemas.errors import AddressForbidden, InvalidField, UnknownType


@dataclass(frozen=True)
class Checks:
    """Refuses what this installation cannot or may not do; answers the role that a request's job needs."""

    #: Job type to worker role.
    roles: Mapping[str, str]
    secret_names: frozenset[str]
    policy: Policy
    max_message_bytes: int

    def __call__(self, request: Request) -> str:
        """The worker role.

        Raises:
            RequestError: the request names what does not exist here or may not be called.
        """
        role = self.roles.get(request.type)
        if role is None:
            raise UnknownType(
                f"type {request.type!r} does not exist on this worker; it has: {', '.join(sorted(self.roles))}",
                field="type",
            )
        if request.callback is not None:
            self._check_callback(request.callback)
        return role

    def may_call(self, callback: CallbackSpec) -> bool:
        """Whether a refusal may be told to this address."""
        try:
            self._check_callback(callback)
        except (AddressForbidden, InvalidField):
            return False
        return True

    def clock(self) -> dt.datetime:
        """The time that stands in a refusal."""
        return dt.datetime.now(dt.UTC)

    def _check_callback(self, callback: CallbackSpec) -> None:
        try:
            check_url(callback.url, self.policy)
        except AddressForbidden as error:
            raise AddressForbidden(f"callback.url: {error.message}", field="callback.url") from None
        if callback.secret_name is not None and callback.secret_name not in self.secret_names:
            raise InvalidField(
                f"callback.secret_name: {callback.secret_name!r} is not configured; this worker has: "
                f"{', '.join(sorted(self.secret_names)) or 'none'}",
                field="callback.secret_name",
            )
