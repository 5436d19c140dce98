"""URLs as they may stand in a log, an error or a record."""

from __future__ import annotations

from urllib.parse import urlsplit

_LONGEST = 200


def redact_url(url: object) -> str:
    """The URL without user name, password, query and fragment, at most 200 characters, in one line.

    A presigned URL's query is a key to the file, so no part of it is kept. The host is kept as it was
    written. Never raises: what cannot be read as a URL becomes ``<not a URL>``.
    """
    text = "".join(character if character.isprintable() else "?" for character in str(url))
    try:
        parts = urlsplit(text)
    except ValueError:
        return "<not a URL>"
    if not parts.scheme or not parts.netloc:
        return "<not a URL>"
    # Some parsers end the host at a backslash, so what stands before one may be a password too.
    host = parts.netloc.rpartition("@")[2].rpartition("\\")[2]
    shown = f"{parts.scheme}://{host}{parts.path}"
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
