"""Make URLs safe to show in logs, errors and records."""

from __future__ import annotations

from urllib.parse import urlsplit

_LONGEST = 200


def redact_url(url: object) -> str:
    """Return the URL without user name, password, query and fragment, in one line of at most 200 characters.

    The query of a presigned URL grants access to the file, so it is dropped entirely. Never raises: text that is not a
    URL becomes ``<not a URL>``.
    """
    text = "".join(character if character.isprintable() else "?" for character in str(url))
    try:
        parts = urlsplit(text)
    except ValueError:
        return "<not a URL>"
    if not parts.scheme or not parts.netloc:
        return "<not a URL>"
    # Some parsers end the host at a backslash, so the text before one may be a password.
    host = parts.netloc.rpartition("@")[2].rpartition("\\")[2]
    shown = f"{parts.scheme}://{host}{parts.path}"
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
