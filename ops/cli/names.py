"""Comma-separated names in options."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import ConfigurationError


def some_of(text: str, known: Sequence[str], noun: str) -> list[str]:
    """The names in ``text``, each once.

    Raises:
        ConfigurationError: one of them is unknown, or there is none.
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        raise ConfigurationError(
            f"there is no {noun} {', '.join(unknown) or repr(text)}; the {noun}s are {', '.join(known)}"
        )
    return names
