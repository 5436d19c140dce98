"""What every page has: the dashboard of this process, the visitor, and the templates."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote

import jinja2
from anyio import CapacityLimiter
from markupsafe import Markup, escape
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, RedirectResponse, Response

from consumer.ledger.database import Database
from consumer.ledger.dead_letters import storable
from consumer.ledger.queries import find_job
from consumer.ledger.records import Job
from consumer.logs import scrub
from consumer.runtime import Runtime
from ops.dashboard.access import Access, Visitor
from ops.dashboard.cache import Shared
from ops.edge.core import Edge, is_job_id
from ops.edge.forms import URLENCODED, content_type, pieces
from ops.edge.refusal import Refusal
from ops.formatting import ago, count, dollars, duration, local_time, size
from ops.health_client import HealthAnswer, ask_health
from ops.overview import Overview, take_overview
from ops.views import iso
from schemas.errors import JobNotFound
from schemas.money import format_micros
from schemas.settings import Settings

_TEMPLATES = Path(__file__).with_name("templates")
#: How long the numbers of the overview and the health stay as they are.
_OVERVIEW_SECONDS, _HEALTH_SECONDS = 2.0, 5.0
_AT_ONCE = 16
#: What the fields of a form may take besides the request in it, which is escaped.
_FORM_FACTOR, _FORM_BYTES, _MOST_FIELDS = 4, 65_536, 64
#: Characters of category C or Z that stay as they are: line ends, spaces, and the joiners of emoji and Indic scripts.
_KEPT = frozenset("\n\t\u00a0\u202f\u200c\u200d")


class Dashboard:
    """The parts of one dashboard process. It keeps nothing about jobs but numbers that are a few seconds old."""

    def __init__(self, runtime: Runtime, local_token: str | None) -> None:
        self.runtime = runtime
        self.settings: Settings = runtime.settings
        self.database: Database = runtime.database
        self.access = Access(runtime.settings, local_token=local_token)
        #: What sends requests: the same as for calls over HTTP.
        self.edge = Edge(runtime)
        self.overview: Shared[Overview] = Shared(lambda: take_overview(runtime.database), seconds=_OVERVIEW_SECONDS)
        self.health: Shared[HealthAnswer | None] = Shared(
            lambda: ask_health(runtime.settings, seconds=1.0), seconds=_HEALTH_SECONDS
        )
        self.more: dict[str, Shared[Any]] = {}
        self.templates = _environment()
        #: The threads of pages, and how many files are opened at a time: a slow storage holds up no page.
        self.threads, self.files = CapacityLimiter(_AT_ONCE), CapacityLimiter(_AT_ONCE)

    def shared(self, name: str, read: Any, *, seconds: float = _OVERVIEW_SECONDS) -> Any:
        """Return a value that all pages share, read by ``read``."""
        return self.more.setdefault(name, Shared(read, seconds=seconds)).get()

    def changed(self) -> None:
        """Read all numbers again: an action has changed them."""
        self.overview.forget()
        for value in list(self.more.values()):  # other threads add to it
            value.forget()


class View:
    """One request for a page."""

    def __init__(
        self, dashboard: Dashboard, request: HttpRequest, visitor: Visitor, form: Mapping[str, str] | None = None
    ) -> None:
        self.dashboard = dashboard
        self.database = dashboard.database
        self.settings = dashboard.settings
        self.request = request
        self.visitor = visitor
        # No database stores NUL, so nothing that is found has one.
        self.form = {name: storable(value) for name, value in (form or {}).items()}
        self.query = {name: storable(value) for name, value in request.query_params.items()}
        self.parameters = {name: storable(str(value)) for name, value in request.path_params.items()}

    @classmethod
    def without_visitor(cls, dashboard: Dashboard, request: HttpRequest) -> Self:
        """Return the view of a page that shows nothing of anyone."""
        try:
            visitor = dashboard.access.visitor(request)
        except Refusal:
            visitor = Visitor()
        return cls(dashboard, request, visitor)

    @property
    def root(self) -> str:
        """The path under which the dashboard is mounted; empty if it is alone."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def path(self) -> str:
        """The path of the page within the dashboard."""
        return str(self.request.url.path).removeprefix(self.root) or "/"

    @property
    def address(self) -> str:
        """The address of the page within the dashboard, with its filter; of a form, the first page."""
        if self.request.method == "POST":
            return "/"
        return f"{self.path}?{self.request.url.query}" if self.request.url.query else self.path

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page. One that has not changed since the browser's last look is answered with 304."""
        values |= {
            "root": self.root,
            "path": self.path,
            "visitor": self.visitor,
            "has_tokens": self.dashboard.access.has_tokens,
            "form_token": self.dashboard.access.form_token(self.visitor) if self.visitor.may_act else "",
        }
        body = self.dashboard.templates.get_template(template).render(values)
        headers = {"cache-control": "no-cache, private", "vary": "cookie"}
        if status == 200:
            headers["etag"] = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
            if self.request.headers.get("if-none-match") == headers["etag"]:
                return Response(status_code=304, headers=headers)
        return HTMLResponse(body, status, headers)

    def redirect(self, path: str) -> Response:
        """Return a redirection to another page of the dashboard, after a form."""
        return RedirectResponse(f"{self.root}{path}", 303)

    def job(self) -> Job:
        """Return the job that the address names.

        Raises:
            JobNotFound: There is none that the visitor sees.
        """
        job_id = str(self.parameters["job_id"])
        job = find_job(self.database, job_id) if is_job_id(job_id) else None
        if job is None or not self.visitor.may_see(job):
            raise JobNotFound(f"no job has the id {job_id[:128]!r}; it may have been deleted")
        return job

    def require_operator(self) -> None:
        """Check that the visitor sees more than one tenant's jobs.

        Raises:
            Refusal: The token belongs to a tenant.
        """
        if self.visitor.tenant is not None:
            raise Refusal(404, "not_found", "There is no such page.")


async def read_fields(request: HttpRequest, settings: Settings, *, request_bytes: int = 0) -> dict[str, str]:
    """Return the fields of a form, of which one may hold a request; of fields with the same name, the last.

    Raises:
        Refusal: It is not a form of a browser.
    """
    if content_type(request) != URLENCODED:
        raise Refusal(415, "unsupported_media_type", f"send the form as {URLENCODED}")
    limit = _FORM_FACTOR * request_bytes + _FORM_BYTES
    body = b"".join([piece async for piece in pieces(request, limit, settings.edge_body_timeout_seconds)])
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Refusal(400, "invalid_form", f"a form of the dashboard has at most {_MOST_FIELDS} fields") from None


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    made.filters |= {
        "ago": ago,
        "dollars": dollars,
        "micros": format_micros,
        "duration": duration,
        "local_time": local_time,
        "size": size,
        "iso": iso,
        "count": count,
        "scrub": scrub,
        "segment": lambda text: quote(str(text), safe=""),
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "code_spans": _code_spans,
        "number": lambda value: f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
    }
    return made


def _code_spans(text: str) -> Markup:
    """Return a sentence as HTML; what is between backticks becomes code."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:  # a backtick without its other one
        return escape(text)
    made = (f"<code>{part}</code>" if place % 2 else str(part) for place, part in enumerate(parts))
    return Markup("".join(made))  # noqa: S704 - every part was escaped


def _finalized(value: object) -> object:
    """Make control and bidirectional formatting characters visible in every text of a page."""
    if not isinstance(value, str) or value.isprintable():
        return value
    made = "".join(_shown(character) for character in value)
    return Markup(made) if isinstance(value, Markup) else made  # noqa: S704 - it was escaped already


def _shown(character: str) -> str:
    if character.isprintable() or character in _KEPT:
        return character
    return f"\\u{ord(character):04x}"
