"""Who calls the edge: a tenant with a token, or a program on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from consumer.ledger.records import Job
from ops.edge.refusal import Refusal
from ops.edge.requirements import is_loopback
from schemas.settings import Settings
from schemas.trace_context import trace_headers


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant whose jobs a caller may see; without tokens it may see all jobs."""

    tenant: str | None = None
    all_jobs: bool = False
    #: The trace context of its HTTP request.
    trace: Mapping[str, str] = field(default_factory=dict, compare=False)

    def may_see(self, job: Job) -> bool:
        """Return whether the job is one of the caller's."""
        return self.all_jobs or job.tenant == self.tenant


class Access:
    """The tokens of this installation, and the signatures of links to results."""

    def __init__(self, settings: Settings) -> None:
        tokens = [
            (token.get_secret_value(), tenant) for tenant, known in settings.edge_tokens.items() for token in known
        ]
        self._tenants = {_digest(token): tenant for token, tenant in tokens}
        self._link_key = hashlib.sha256("\n".join(sorted(token for token, _ in tokens)).encode()).digest()

    @property
    def has_tokens(self) -> bool:
        """Whether callers need a token."""
        return bool(self._tenants)

    def caller(self, headers: Headers) -> Caller:
        """Return the caller that the headers name.

        A token is accepted as ``Authorization: Bearer`` and as the password of Basic authentication, which clients
        send by themselves if the base address is ``https://user:TOKEN@host``.

        Raises:
            Refusal: Callers need a token, and this is none.
        """
        if not self.has_tokens:
            return Caller(all_jobs=True, trace=trace_headers(headers))
        tenant = self._tenants.get(_digest(_token_in(headers.get("authorization", ""))))
        if tenant is None:
            raise Refusal(
                401, "unauthorized", "a valid token is required: Authorization: Bearer TOKEN", www_authenticate="Bearer"
            )
        return Caller(tenant, trace=trace_headers(headers))

    def link_query(self, job_id: str, name: str, lifetime_seconds: int) -> str:
        """Return the query that lets a browser open one result without a token; empty if none is needed."""
        if not self.has_tokens:
            return ""
        expires = int(time.time()) + lifetime_seconds
        return f"?expires={expires}&signature={self._signature(job_id, name, expires)}"

    def is_signed(self, job_id: str, name: str, expires: str, signature: str) -> bool:
        """Return whether a link's query is valid for this result."""
        if not (self.has_tokens and expires.isascii() and expires.isdigit() and int(expires) > time.time()):
            return False
        return hmac.compare_digest(self._signature(job_id, name, int(expires)).encode(), signature.encode())

    def _signature(self, job_id: str, name: str, expires: int) -> str:
        return hmac.new(self._link_key, f"{job_id}\n{name}\n{expires}".encode(), hashlib.sha256).hexdigest()


def is_local_origin(origin: str) -> bool:
    """Return whether a web page with this origin comes from this machine."""
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


def _token_in(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


def _digest(token: str) -> str:
    # Compared by digest, so that the time of a comparison says nothing about a token.
    return hashlib.sha256(token.encode()).hexdigest()
