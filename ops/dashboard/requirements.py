"""What has to be so before the dashboard starts. Imports nothing of the extra ``dashboard``."""

from __future__ import annotations

from importlib.util import find_spec

from ops.edge.requirements import is_loopback
from schemas.errors import ConfigurationError
from schemas.settings import Settings

_PACKAGES = ("fastapi", "jinja2", "python_multipart", "uvicorn")


def has_packages() -> bool:
    """Return whether the extra is installed."""
    return not _missing()


def check_requirements(settings: Settings, host: str) -> None:
    """Check that the extra is installed, and that visitors from other machines need a token.

    Raises:
        ConfigurationError: Either is not so.
    """
    if missing := _missing():
        raise ConfigurationError(f"the dashboard needs {', '.join(missing)}: pip install '.[dashboard]'")
    if not is_loopback(host) and not settings.dashboard_tokens:
        raise ConfigurationError(
            f"{host} can be reached by other machines, so visitors need tokens; set TELECINE_DASHBOARD_TOKENS, "
            "or listen on 127.0.0.1"
        )


def _missing() -> list[str]:
    return [name for name in _PACKAGES if find_spec(name) is None]
