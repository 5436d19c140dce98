"""May this URL be called? First by its text alone, then by every address that its name has.

Requests, redirects and provider results name URLs that Telecine then calls from inside the operator's
network. The guard keeps such calls out of that network (server-side request forgery, CWE-918):
``check_url`` needs no network and can run when a request is admitted; ``resolve`` runs at the moment of
each connection, once, and the connection is made to what it returned (see ``transport``).
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, ip_address

import httpx2

from providers.http.addresses import LOCAL_REASONS, Address, forbidden, literal
from providers.http.policy import Policy
from providers.http.redact import redact_url
from schemas.errors import AddressForbidden

__all__ = ["Policy", "check_host", "check_url", "resolve"]

_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z)(?:{_LABEL}\.)*{_LABEL}\.?\Z")
#: Last labels of names that only an inner network knows (RFC 6761, RFC 6762, ICANN's `.internal`).
_INNER_NAMES = frozenset({"localhost", "local", "localdomain", "internal"})
_ADVICE = "Use a public HTTPS address, or let the operator allow the host with TELECINE_ALLOWED_PRIVATE_HOSTS."


def check_url(url: str | httpx2.URL, policy: Policy) -> httpx2.URL:
    """The parsed URL, when its text gives no reason to refuse it. Looks nothing up.

    The URL is read by the very parser that the client dials with, so that there are no two opinions on
    where its host ends.

    Raises:
        AddressForbidden: the scheme, the port, credentials, or an address that the host spells.
    """
    text = str(url)
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii")  # where what follows an IPv6 address is looked at at last
    except (httpx2.InvalidURL, ValueError):
        raise _refusal(redact_url(text), "it is not a valid URL") from None
    if parsed.scheme not in _PORTS or not host:
        raise _refusal(redact_url(text), "it is not an https:// URL")
    authority = re.split(r"[/?#]", text.partition("//")[2], maxsplit=1)[0]
    if parsed.userinfo or "@" in authority or "\\" in authority:
        raise _refusal(redact_url(text), "it carries a user name or a password")
    port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not policy.allows(host, port):
        if parsed.scheme == "http" and not policy.allow_http:
            raise _refusal(redact_url(text), "it is plain http")
        if port not in policy.allowed_ports:
            raise _refusal(redact_url(text), f"port {port} is not among the allowed ones")
    check_host(host, port, policy)
    return parsed


def check_host(host: str, port: int, policy: Policy) -> Address | None:
    """The address that the host spells, or ``None`` for a name that may be looked up.

    Raises:
        AddressForbidden: the address is forbidden or oddly spelt, or the name is an inner one.
    """
    try:
        address = literal(host)
    except ValueError:
        raise _refusal(host, "it ends like an address, but is none") from None
    if address is not None:
        _check_address(host, port, address, policy)
        if isinstance(address, IPv4Address) and host != str(address):
            # Resolvers differ on 010.0.0.1; a public address has no reason to be written so.
            raise _refusal(host, "it is an IPv4 address in an unusual spelling")
        return address
    name = host.lower()
    if _NAME.match(name) is None:
        raise _refusal(host, "it is not a host name")
    if name.removesuffix(".").rpartition(".")[2] in _INNER_NAMES and not policy.allows(host, port):
        raise _refusal(host, "it is the name of an inner host")
    return None


def resolve(host: str, port: int, policy: Policy) -> tuple[Address, ...]:
    """Every address of the host, in the resolver's order, each of them checked. Looks up once.

    One forbidden address refuses the host, however many public ones stand beside it.

    Raises:
        AddressForbidden: the host is refused.
        OSError: the name cannot be looked up just now, or does not exist.
    """
    spelt = check_host(host, port, policy)
    if spelt is not None:
        return (spelt,)
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    found = tuple(dict.fromkeys(ip_address(str(answer[4][0])) for answer in answers))
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    for address in found:
        _check_address(host, port, address, policy)
    return found


def _check_address(host: str, port: int, address: Address, policy: Policy) -> None:
    reason = forbidden(address)
    if reason is not None and not (reason in LOCAL_REASONS and policy.allows(host, port)):
        # The address is not told: what an inner name server answers is nobody's business outside.
        raise _refusal(host, f"it leads to an address that is not public ({reason})")


def _refusal(shown: str, reason: str) -> AddressForbidden:
    return AddressForbidden(f"{shown} may not be called: {reason}. {_ADVICE}")
