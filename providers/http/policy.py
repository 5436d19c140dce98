"""The operator's rules on which hosts Telecine may call."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.errors import ConfigurationError

_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\s/@:\[\]]+)(?::(?P<port>\d{1,5}))?\Z")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which hosts may be called. By default public addresses, with HTTPS, on the usual ports.

    Raises:
        ConfigurationError: an entry of ``allowed_hosts`` is neither ``host`` nor ``host:port``.
    """

    #: Hosts, as ``name`` or ``name:port``, that may have private addresses and be called with plain http on any port
    #: (or the given one). Metadata, link-local, multicast and reserved addresses stay forbidden even for them.
    allowed_hosts: frozenset[str] = frozenset()
    #: Allowed ports of all other hosts.
    allowed_ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    #: Whether all other hosts may be called with plain http.
    allow_http: bool = False

    def __post_init__(self) -> None:
        entries = frozenset(_entry(text) for text in self.allowed_hosts)
        object.__setattr__(self, "allowed_hosts", entries)

    def allows(self, host: str, port: int) -> bool:
        """Return whether ``allowed_hosts`` contains this host, with or without this port."""
        name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
        name = f"[{name}]" if ":" in name else name
        return name in self.allowed_hosts or f"{name}:{port}" in self.allowed_hosts


def _entry(text: str) -> str:
    """Return an entry in normal form: lower case, IPv6 in brackets.

    Raises:
        ConfigurationError: it is not a host.
    """
    entry = text.strip().lower()
    if entry.count(":") > 1 and "[" not in entry:
        entry = f"[{entry}]"
    if _ENTRY.match(entry) is None:
        # The message does not repeat the entry, which may be a URL with a password.
        raise ConfigurationError(
            "An entry of TELECINE_ALLOWED_PRIVATE_HOSTS is not a host. Write host or host:port, such as "
            "minio:9000, [::1]:9000 or 127.0.0.1, without https:// and without a path or a network mask."
        )
    return entry
