"""Callbacks in the form of the G.A.M.E. API, as the I2V service sent them: to ``{url}/{id}/callback``, with a key.

The key opens the operator's account there, and a request says where its callback goes. So a callback of this
form goes nowhere but to the host that the operator has named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from providers.http.redact import redact_url
from schemas.callback import Output
from schemas.envelope import CallbackSpec
from schemas.errors import InvalidField, UnsupportedOption

KEY_VARIABLE = "GAME_API_KEY"
URL_VARIABLE = "CALLBACK_API_URL"
DEFAULT_URL = "https://game-api.virtuals.io/requests"
DEFAULT_TITLE = "Generated Video"
#: Besides 2xx: a second copy of what the API has already.
DELIVERED = frozenset({409})
#: What the events of these callbacks begin with in the ledger, in place of ``job.``.
EVENT_PREFIX = "game."

_LONGEST_URL = 2048
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class GameApi:
    """The operator's account at the G.A.M.E. API."""

    #: ``/{id}/callback`` is added to it.
    url: str = DEFAULT_URL
    key: SecretStr | None = None

    def with_url(self, spec: CallbackSpec) -> CallbackSpec:
        """``spec`` with the operator's address where a callback of this form names none."""
        return spec if spec.url else spec.model_copy(update={"url": self.url})

    def check(self, spec: CallbackSpec) -> None:
        """Nothing, if a callback of this form may go where ``spec`` says.

        Raises:
            UnsupportedOption: there is no key.
            InvalidField: the key is not for that host.
        """
        if self.key is None:
            raise UnsupportedOption(
                f'callback.format: "game" needs {KEY_VARIABLE}, which this worker does not have; '
                'use "standard" or let the operator set it',
                field="callback.format",
            )
        if _origin(spec.url) != _origin(self.url):
            raise InvalidField(
                f"callback.url: format game carries the operator's key, which is for {redact_url(self.url)} only; "
                f"leave the url out, or let the operator set {URL_VARIABLE}",
                field="callback.url",
            )

    def headers(self) -> dict[str, str]:
        """The headers of an attempt; none while there is no key, which the API then refuses."""
        return {} if self.key is None else {"x-api-key": self.key.get_secret_value()}


def game_url(base: str, job_id: str | None) -> str | None:
    """Where the callback about ``job_id`` goes; ``None`` when such an id cannot stand in a URL."""
    if job_id is None or not _ID.fullmatch(job_id) or job_id in (".", ".."):
        return None
    parts = urlsplit(base)
    url = parts._replace(path=f"{parts.path.rstrip('/')}/{job_id}/callback", fragment="").geturl()
    return url if len(url) <= _LONGEST_URL else None


def game_body(*, completed: bool, outputs: Sequence[Output] = (), details: Mapping[str, object] | None = None) -> bytes:
    """The body, with the spaces and the order of keys of the I2V service's own documentation.

    What was finished without a file, such as a plan, is no addition to anybody's inventory.
    """
    file = _chosen(outputs) if completed else None
    title = (details or {}).get("title")
    output = None if file is None else {
        "title": title.strip() if isinstance(title, str) and title.strip() else DEFAULT_TITLE,
        "type": "MEDIA",
        "category": "MARKETING_VIDEO",
        "url": file.url or file.uri,
    }  # fmt: skip
    data = {
        "addToInventory": output is not None,
        "status": "COMPLETED" if completed else "FAILED",
        "output": output,
    }
    return json.dumps({"data": data}, indent=4, ensure_ascii=False).encode()


def _chosen(outputs: Sequence[Output]) -> Output | None:
    """The one file that the body has room for: the film, or else what was made first."""
    made = [output for output in outputs if output.name != "manifest.json"]
    return next((output for output in made if output.content_type.startswith("video/")), made[0] if made else None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None
