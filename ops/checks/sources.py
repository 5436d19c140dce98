"""Check of the settings: which file is in force, and that every variable is a setting."""

from __future__ import annotations

import os

from ops.checks.finding import Finding, ok, warn
from schemas.settings import Settings
from schemas.settings.sources import settings_file, unknown_variables


def settings_sources(settings: Settings) -> Finding:
    """Report the settings file, and warn of ``TELECINE_…`` variables that have no effect."""
    path = settings_file()
    mode = "embedded mode" if settings.embedded else "with a broker"
    found = f"{mode}; {'no settings file' if path is None else path.absolute()}"
    if unknown := unknown_variables(Settings, os.environ):
        return warn(f"{found}; without effect: {', '.join(unknown)}", "correct or unset these variables")
    return ok(found)
