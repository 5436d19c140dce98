"""Options with comma-separated names."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import ConfigurationError


def some_of(text: str, known: Sequence[str], noun: str) -> list[str]:
    """Parse comma-separated names and return each once.

    Raises:
        ConfigurationError: If a name is not in ``known``, or ``text`` contains no name.
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        raise ConfigurationError(f"unknown {noun} {', '.join(unknown) or repr(text)}; available: {', '.join(known)}")
    return names
