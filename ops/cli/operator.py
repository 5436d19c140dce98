"""Who runs a command, for timelines."""

from __future__ import annotations

import getpass


def operator_name() -> str:
    """Return the user's name, as timelines show it."""
    try:
        return f"{getpass.getuser()} (cli)"
    except (KeyError, OSError):  # a container without a user database
        return "cli"
