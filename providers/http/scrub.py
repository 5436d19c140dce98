"""Make a provider's text safe to show in errors, logs and records: short, one line, without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from providers.http.redact import redact_url

#: Default maximum length of a message in characters.
LONGEST = 300
#: Maximum length that is searched for text that looks like a secret, and maximum length that is read at all.
_READ = 4 * 1024
_LOOKED_AT = 64 * 1024
#: Shorter secrets are not keys, and replacing them would damage ordinary words.
_SHORTEST_SECRET = 6
_HIDDEN = "[hidden]"

_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>]+")
_SCHEME = re.compile(r"(?i)\b(bearer|basic|token|key)\s+(?=[^\s,;]*[\d_=.-])[^\s\"',;<>]{8,}")
_PAIR = re.compile(
    r"(?i)((?<![\w-])[\w-]*(?:signature|token|secret|password|passwd|credential|authorization|api[-_ ]?key"
    r"|access[-_ ]?key)[\w-]*+)(\\?[\"']?\s*[=:]\s*\\?[\"']?)(?!\[hidden\])(?!(?:bearer|basic)\b)[^\s\"'&,;<>\\]+"
)
#: Recognizable keys: JSON Web Tokens and common prefixes.
_SHAPED = re.compile(
    r"\beyJ[\w-]{8,}(?:\.[\w-]+)*|\b(?:sk|pk|rk|r8|xi|rp|rpa|ghp|hf|whsec|AKIA|ASIA)(?:[-_]|(?=[A-Z0-9]{12}))[\w-]{8,}"
)
#: Fields in which providers put their message, the most useful first.
_PLACES = ("message", "detail", "error", "msg", "error_message", "reason", "title", "description")


def scrubbed(text: str, secrets: Iterable[str] = (), longest: int = LONGEST) -> str:
    """Return ``text`` in one line of at most ``longest`` characters, without secrets.

    Replaced are control characters, ``secrets`` (plain and as encoded in URLs and JSON), user names and queries of
    URLs, and anything that is named or looks like a key.
    """
    text = " ".join("".join(each if each.isprintable() else " " for each in text[:_LOOKED_AT]).split())
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            for spelling in {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]}:
                text = text.replace(spelling, _HIDDEN)
    text = text[:_READ]  # cut after replacing, so that no part of a secret remains at the end
    text = _URL.sub(lambda found: redact_url(found[0]), text)
    text = _SCHEME.sub(lambda found: f"{found[1]} {_HIDDEN}", text)
    text = _PAIR.sub(lambda found: f"{found[1]}{found[2]}{_HIDDEN}", text)
    text = _SHAPED.sub(_HIDDEN, text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def provider_message(body: bytes, content_type: str, secrets: Iterable[str] = ()) -> str:
    """Return the message in a response, scrubbed, or "" if it has none. HTML is ignored."""
    text = body[:_LOOKED_AT].decode("utf-8", "replace").strip()
    try:
        found = extract_message(json.loads(text)) if len(body) <= _LOOKED_AT else ""
    except (ValueError, RecursionError):
        found = "" if "html" in content_type.lower() or text.startswith("<") else text
    return scrubbed(found, secrets)


def extract_message(value: Any, depth: int = 4) -> str:
    """Return the message in a JSON response, searching the usual fields; not scrubbed."""
    if isinstance(value, str):
        return value
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (extract_message(each, depth - 1) for each in value[:5])))
    if isinstance(value, dict):
        for place in _PLACES:
            if place in value and (found := extract_message(value[place], depth - 1)):
                return found
        return next(
            filter(None, (extract_message(each, depth - 1) for each in value.values() if isinstance(each, dict))), ""
        )
    return ""
