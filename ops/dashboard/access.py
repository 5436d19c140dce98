"""Who looks at the dashboard: tokens, sessions in a signed cookie, and protection from forged requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request as HttpRequest

from consumer.ledger.records import Job
from ops.edge.refusal import Refusal
from schemas.settings import Settings
from schemas.settings.dashboard import DashboardToken

COOKIE = "telecine_dashboard"
SESSION_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks, what they see and whether they may act."""

    #: The name in timelines; ``None`` for a visitor without a token.
    name: str | None = None
    #: Only this tenant's jobs are shown; ``None`` for everything.
    tenant: str | None = None
    may_act: bool = False
    #: The value of the session's cookie; empty without one.
    session: str = ""

    @property
    def by(self) -> str:
        """The name as timelines record it."""
        return f"{self.name or 'a visitor'} (dashboard)"

    def may_see(self, job: Job) -> bool:
        """Return whether the job is one that the visitor sees."""
        return self.tenant is None or job.tenant == self.tenant


class Access:
    """The tokens of this installation, and the sessions that they open.

    Without tokens, everyone who reaches the loopback address may look, and ``local_token`` lets one act.
    """

    def __init__(self, settings: Settings, *, local_token: str | None = None) -> None:
        self._owners: Mapping[str, DashboardToken] = settings.dashboard_tokens
        if local_token is not None and not self._owners:
            self._owners = {"operator": DashboardToken.model_validate({"token": local_token, "may_act": True})}
            self._open = True
        else:
            self._open = not self._owners
        tokens = sorted(owner.token.get_secret_value() for owner in self._owners.values())
        self._key = hashlib.sha256("\n".join(["dashboard", *tokens]).encode()).digest()

    @property
    def is_open(self) -> bool:
        """Whether one may look without a token."""
        return self._open

    @property
    def has_tokens(self) -> bool:
        """Whether there is a token to sign in with."""
        return bool(self._owners)

    def sign_in(self, token: str) -> str | None:
        """Return the cookie of a new session, or ``None`` if the token is not known."""
        found = None
        for name, owner in self._owners.items():  # all are compared, so that the time says nothing about a token
            if secrets.compare_digest(owner.token.get_secret_value().encode(), token.encode()):
                found = name
        if found is None:
            return None
        payload = f"{int(time.time()) + SESSION_SECONDS}.{base64.urlsafe_b64encode(found.encode()).decode()}"
        return f"{payload}.{self._mac('session', payload)}"

    def visitor(self, request: HttpRequest) -> Visitor:
        """Return who looks.

        Raises:
            Refusal: One needs a token to look.
        """
        session = request.cookies.get(COOKIE, "")
        name = self._name(session)
        if name is not None:
            owner = self._owners[name]
            return Visitor(name, owner.tenant, owner.may_act, session)
        if not self._open:
            raise Refusal(401, "unauthorized", "sign in with a token")
        return Visitor()

    def form_token(self, visitor: Visitor) -> str:
        """Return the token that every form of this session carries."""
        return self._mac("form", visitor.session)

    def check_form(self, visitor: Visitor, given: str) -> None:
        """Check that a form was made for this session.

        Raises:
            Refusal: It was not.
        """
        if not hmac.compare_digest(self.form_token(visitor).encode(), given.encode()):
            raise Refusal(403, "forged_form", "this form belongs to another session; load the page again")

    def _name(self, session: str) -> str | None:
        payload, _, mac = session.rpartition(".")
        expires, _, encoded = payload.partition(".")
        if not payload or not hmac.compare_digest(self._mac("session", payload).encode(), mac.encode()):
            return None
        name = base64.urlsafe_b64decode(encoded).decode()
        return name if int(expires) > time.time() and name in self._owners else None

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()


def check_origin(request: HttpRequest) -> None:
    """Check that a form was sent by a page of this dashboard.

    Browsers send ``Sec-Fetch-Site`` (Fetch Metadata) or at least ``Origin``; a program may send neither.

    Raises:
        Refusal: It was sent by another site.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or site not in (None, "same-origin", "none"):
        raise Refusal(403, "foreign_origin", "forms of other sites are refused")
