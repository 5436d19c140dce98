"""Check whether a URL may be called: first its text, then every address of its host.

Requests, redirects and provider results contain URLs that Telecine calls from inside the operator's network. The guard
prevents calls to that network (server-side request forgery, CWE-918). ``check_url`` does not use the network and can
run on admission. ``resolve`` runs once per connection, which is then made to an address that it returned (see
``transport``).
"""

from __future__ import annotations

import functools
import re
import socket
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

from providers.http.addresses import LOCAL_REASONS, Address, forbidden_reason, parse_ip_literal
from providers.http.policy import Policy
from providers.http.redact import redact_url
from schemas.errors import AddressForbidden

if TYPE_CHECKING:
    import httpx2

__all__ = ["Policy", "check_host", "check_url", "resolve"]

_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z)(?:{_LABEL}\.)*{_LABEL}\.?\Z")
#: Last labels of names that only resolve inside a network (RFC 6761, RFC 6762, ICANN's `.internal`).
_INNER_NAMES = frozenset({"localhost", "local", "localdomain", "internal"})
_ADVICE = "Use a public HTTPS address, or let the operator allow the host with TELECINE_ALLOWED_PRIVATE_HOSTS."


def check_url(url: str | httpx2.URL, policy: Policy) -> httpx2.URL:
    """Check a URL without any lookup; return it parsed.

    The parser is the one that the client uses, so that both agree on where the host ends.

    Raises:
        AddressForbidden: the scheme, the port or the literal address is forbidden, or the URL contains credentials.
    """
    import httpx2  # here, because a request without URLs is checked faster without it

    text = str(url)
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii")  # raises if something follows an IPv6 address
    except (httpx2.InvalidURL, ValueError):
        raise _refusal(redact_url(text), "it is not a valid URL") from None
    if parsed.scheme not in _PORTS or not host:
        raise _refusal(redact_url(text), "it is not an https:// URL")
    authority = re.split(r"[/?#]", text.partition("//")[2], maxsplit=1)[0]
    if parsed.userinfo or "@" in authority or "\\" in authority:
        raise _refusal(redact_url(text), "it contains a user name or a password")
    port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not policy.allows(host, port):
        if parsed.scheme == "http" and not policy.allow_http:
            raise _refusal(redact_url(text), "it is plain http")
        if port not in policy.allowed_ports:
            raise _refusal(redact_url(text), f"port {port} is not allowed")
    check_host(host, port, policy)
    return parsed


@functools.lru_cache(maxsize=1024)
def check_host(host: str, port: int, policy: Policy) -> Address | None:
    """Check a host without any lookup; return its address if it is an IP literal, ``None`` if it is a name.

    Raises:
        AddressForbidden: the address is forbidden or in an unusual form, or the name is an internal one.
    """
    try:
        address = parse_ip_literal(host)
    except ValueError:
        raise _refusal(host, "it looks like an IP address but is not a valid one") from None
    if address is not None:
        _check_address(host, port, address, policy)
        if isinstance(address, IPv4Address) and host != str(address):
            # Resolvers interpret 010.0.0.1 differently, and there is no reason to write a public address like this.
            raise _refusal(host, "it is an IPv4 address in an unusual form")
        return address
    name = host.lower()
    if _NAME.match(name) is None:
        raise _refusal(host, "it is not a host name")
    if name.removesuffix(".").rpartition(".")[2] in _INNER_NAMES and not policy.allows(host, port):
        raise _refusal(host, "it is the name of an internal host")
    return None


def resolve(host: str, port: int, policy: Policy) -> tuple[Address, ...]:
    """Look the host up once, check all its addresses and return them in the resolver's order.

    A single forbidden address makes the host forbidden, even if it also has public addresses.

    Raises:
        AddressForbidden: the host may not be called.
        OSError: the lookup failed, or the name does not exist.
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
    reason = forbidden_reason(address)
    if reason is not None and not (reason in LOCAL_REASONS and policy.allows(host, port)):
        # The message does not contain the address, so that it does not disclose an internal name server's answers.
        raise _refusal(host, f"its address is not public ({reason})")


def _refusal(shown: str, reason: str) -> AddressForbidden:
    return AddressForbidden(f"{shown} may not be called: {reason}. {_ADVICE}")
