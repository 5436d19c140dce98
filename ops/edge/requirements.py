"""What has to be so before the edge starts. Imports nothing of the extra ``edge``."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec

from schemas.errors import ConfigurationError
from schemas.settings import Settings

_PACKAGES = ("fastapi", "uvicorn", "python_multipart")
_LOCAL_NAMES = ("localhost",)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address or name."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_requirements(settings: Settings, host: str) -> None:
    """Check that the extra is installed, and that callers from other machines need a token.

    Raises:
        ConfigurationError: Either is not so.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the HTTP edge needs {', '.join(missing)}: pip install '.[edge]'")
    if not is_loopback(host) and not settings.edge_tokens:
        raise ConfigurationError(
            f"{host} can be reached by other machines, so callers need tokens; set TELECINE_EDGE_TOKENS, "
            "or listen on 127.0.0.1"
        )
