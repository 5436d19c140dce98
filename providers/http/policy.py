"""What the operator lets Telecine call."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.errors import ConfigurationError

_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\s/@:\[\]]+)(?::(?P<port>\d{1,5}))?\Z")


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be called. The default is public addresses, by HTTPS, on the usual ports.

    Raises:
        ConfigurationError: an entry of ``allowed_hosts`` is neither ``host`` nor ``host:port``.
    """

    #: Hosts, ``name`` or ``name:port``, that may have private addresses, plain http and any port (or the
    #: one given). Metadata, link-local, multicast and reserved addresses stay refused even for them.
    allowed_hosts: frozenset[str] = frozenset()
    #: Ports of all other hosts.
    allowed_ports: frozenset[int] = frozenset({80, 443, 8080, 8443})
    #: Whether other hosts may be called by plain http, too.
    allow_http: bool = False

    def __post_init__(self) -> None:
        entries = frozenset(_entry(text) for text in self.allowed_hosts)
        object.__setattr__(self, "allowed_hosts", entries)

    def allows(self, host: str, port: int) -> bool:
        """Whether the operator named this host, with or without this port, as one of his own."""
        name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
        name = f"[{name}]" if ":" in name else name
        return name in self.allowed_hosts or f"{name}:{port}" in self.allowed_hosts


def _entry(text: str) -> str:
    """One entry as it is compared: lower case, IPv6 in brackets."""
    entry = text.strip().lower()
    if entry.count(":") > 1 and "[" not in entry:
        entry = f"[{entry}]"
    if _ENTRY.match(entry) is None:
        # The entry is not repeated: written as a URL it may carry a password.
        raise ConfigurationError(
            "An entry of TELECINE_ALLOWED_PRIVATE_HOSTS is not a host. Write host or host:port, such as "
            "minio:9000, [::1]:9000 or 127.0.0.1, without https:// and without a path or a network mask."
        )
    return entry
