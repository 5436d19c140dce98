"""Callback format ``game``: the form that the G.A.M.E. API takes, POSTed to ``{url}/{id}/callback`` with an API key.

The key gives access to the operator's account there, and a request may choose its callback URL. So callbacks in this
format are only sent to the host that the operator has configured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from providers.http.redact import redact_url
from schemas.callback import Output
from schemas.envelope import CallbackSpec
from schemas.errors import InvalidField, UnsupportedOption

KEY_VARIABLE = "GAME_API_KEY"
URL_VARIABLE = "CALLBACK_API_URL"
DEFAULT_URL = "https://game-api.virtuals.io/requests"
DEFAULT_TITLE = "Generated Video"
#: Statuses besides 2xx that count as delivered: 409 means that the API has the callback already.
DELIVERED = frozenset({409})
#: The field of a request's metadata with the id that a client of the I2V service chose.
REQUEST_ID = "x-request-id"
#: Prefix of these callbacks' events in the ledger, instead of ``job.``.
EVENT_PREFIX = "game."

_LONGEST_URL = 2048
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class GameApi:
    """The operator's account at the G.A.M.E. API."""

    #: ``/{id}/callback`` is appended.
    url: str = DEFAULT_URL
    key: SecretStr | None = None

    def with_url(self, spec: CallbackSpec) -> CallbackSpec:
        """Fill in the operator's URL if the callback has none."""
        return spec if spec.url else spec.model_copy(update={"url": self.url})

    def check(self, spec: CallbackSpec) -> None:
        """Check that a callback in this format may be sent to the URL of ``spec``.

        Raises:
            UnsupportedOption: No API key is configured.
            InvalidField: The URL's host is not the one that the API key is for.
        """
        if self.key is None:
            raise UnsupportedOption(
                f'callback.format: "game" needs {KEY_VARIABLE}, which this worker does not have; '
                'use "standard", or ask the operator to set it',
                field="callback.format",
            )
        if _origin(spec.url) != _origin(self.url):
            raise InvalidField(
                f"callback.url: format game carries the operator's key, which is for {redact_url(self.url)} only; "
                f"omit the url, or ask the operator to set {URL_VARIABLE}",
                field="callback.url",
            )

    def headers(self) -> dict[str, str]:
        """Return the API key header; empty without a key, and the API rejects the request then."""
        return {} if self.key is None else {"x-api-key": self.key.get_secret_value()}


def game_url(base: str, job_id: str | None) -> str | None:
    """Return the callback URL for a job; ``None`` if the id is not safe in a URL path, or the URL is too long."""
    if job_id is None or not _ID.fullmatch(job_id):
        return None
    return _url_for(base, job_id)


def requested_url(base: str, request_id: str) -> str | None:
    """Return the callback URL for the id that a client of the I2V service chose, which may contain any character."""
    return _url_for(base, quote(request_id, safe=""))


def _url_for(base: str, segment: str) -> str | None:
    if segment in (".", ".."):
        return None
    parts = urlsplit(base)
    url = parts._replace(path=f"{parts.path.rstrip('/')}/{segment}/callback", fragment="").geturl()
    return url if len(url) <= _LONGEST_URL else None


def game_body(*, completed: bool, outputs: Sequence[Output] = (), details: Mapping[str, object] | None = None) -> bytes:
    """Return the body, with the whitespace and key order of the I2V service's documentation.

    A job that completes without a file, such as a plan, is not added to the inventory.
    """
    file = _main_file(outputs) if completed else None
    title = (details or {}).get("title")
    output = None
    if file is not None:
        output = {
            "title": title.strip() if isinstance(title, str) and title.strip() else DEFAULT_TITLE,
            "type": "MEDIA",
            "category": "MARKETING_VIDEO",
            "url": file.url or file.uri,
        }
    data = {
        "addToInventory": output is not None,
        "status": "COMPLETED" if completed else "FAILED",
        "output": output,
    }
    return json.dumps({"data": data}, indent=4, ensure_ascii=False).encode()


def _main_file(outputs: Sequence[Output]) -> Output | None:
    """Return the one file that fits in the body: the video, or else the first output."""
    files = [output for output in outputs if output.name != "manifest.json"]
    return next((output for output in files if output.content_type.startswith("video/")), files[0] if files else None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None
