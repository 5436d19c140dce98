"""Read the settings for a command."""

from __future__ import annotations

import os
import tomllib

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from consumer.logs import logger
from schemas.errors import ConfigurationError
from schemas.field_problems import plain_words
from schemas.settings import Settings
from schemas.settings.sources import json_form, unknown_variables

log = logger(__name__)


def read_settings() -> Settings:
    """Return the settings.

    Raises:
        ConfigurationError: If a setting is invalid; the message names it and does not repeat its value.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        named = "; ".join(_problem(detail) for detail in error.errors(include_url=False, include_input=False))
        raise ConfigurationError(f"the settings are invalid: {named}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the settings file is not valid TOML: {error}") from None
    if settings.ledger.startswith("sqlite:///"):
        return settings
    # Imported here, because a command without a ledger starts faster without SQLAlchemy.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(settings.ledger)
    except (ArgumentError, ValueError):  # not chained: its text may contain the password
        raise ConfigurationError(
            "the settings are invalid: TELECINE_LEDGER_URL: is not a valid URL; "
            "write / : ? # and @ in its user name and password as %2F %3A %3F %23 and %40"
        ) from None
    return settings


def warn_of_unknown_variables() -> None:
    """Log each ``TELECINE_…`` variable that is not a setting. Call it once per start, after logging is set up."""
    for name in unknown_variables(Settings, os.environ):
        log.warning("setting_unknown", variable=name)


def _problem(detail: ErrorDetails) -> str:
    """Describe an invalid setting; if a table or an array has the wrong form, with an example of the right one."""
    location = detail["loc"]
    form = json_form(str(location[0]), Settings) if location and detail["type"].endswith("_type") else ""
    return f"{_place(location)}: {plain_words(detail)}{f' (the setting is {form})' if form else ''}"


def _place(location: tuple[int | str, ...]) -> str:
    """Name the setting and the entry in it: rule and field, name and field, or position in a list."""
    entry = list(location[1:])
    if entry and isinstance(entry[0], int):
        kind = "trigger rule" if location[0] == "triggers" else "entry"
        entry[0] = f"{kind} {entry[0] + 1}"
        return ", ".join(filter(None, (_variable(location), str(entry[0]), ".".join(map(str, entry[1:])))))
    return ", ".join(filter(None, (_variable(location), ".".join(map(str, entry)))))


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name if name.isupper() else f"TELECINE_{name.upper()}"
