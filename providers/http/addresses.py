"""Decide which IP addresses may be called: global unicast addresses only.

The tables follow the IANA special-purpose registries (RFC 6890 and its updates,
https://www.iana.org/assignments/iana-ipv4-special-registry and …-ipv6-special-registry). They are written out here
because ``ipaddress.is_global`` has changed between Python releases.

A network-specific NAT64 prefix (RFC 6052) cannot be recognized here. In such a network the egress firewall must keep
workers away from internal addresses.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

#: Reasons that do not apply to hosts that the operator allows in the policy.
LOOPBACK = "loopback address"
PRIVATE = "private address"
SHARED = "shared (carrier-grade NAT) address"
LOCAL_REASONS = frozenset({LOOPBACK, PRIVATE, SHARED})

#: Metadata services with addresses that are public, or that an operator could otherwise allow.
_METADATA_ADDRESSES = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # credentials of AWS ECS tasks
        "168.63.129.16",  # Azure's wire server, a public address
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS over IPv6
    )
)

_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified address"),
        ("10.0.0.0/8", PRIVATE),
        ("100.64.0.0/10", SHARED),
        ("127.0.0.0/8", LOOPBACK),
        ("169.254.0.0/16", "link-local address"),
        ("172.16.0.0/12", PRIVATE),
        ("192.0.0.0/24", "reserved address"),
        ("192.0.2.0/24", "documentation address"),
        ("192.88.99.0/24", "6to4 relay address"),
        ("192.168.0.0/16", PRIVATE),
        ("198.18.0.0/15", "benchmark address"),
        ("198.51.100.0/24", "documentation address"),
        ("203.0.113.0/24", "documentation address"),
        ("224.0.0.0/4", "multicast address"),
        ("255.255.255.255/32", "broadcast address"),
        ("240.0.0.0/4", "reserved address"),
    )
)

_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified address"),
        ("::1/128", LOOPBACK),
        ("64:ff9b:1::/48", "local NAT64 address"),
        ("100::/64", "discard address"),
        ("fc00::/7", PRIVATE),
        ("fe80::/10", "link-local address"),
        ("fec0::/10", "site-local address"),
        ("ff00::/8", "multicast address"),
        ("2001:2::/48", "benchmark address"),
        ("2001::/23", "reserved address"),
        ("2001:db8::/32", "documentation address"),
        ("3fff::/20", "documentation address"),
    )
)
_V6_GLOBAL = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


@lru_cache(maxsize=4096)
def forbidden_reason(address: str | Address) -> str | None:
    """Return why the address may not be called, in a few words, or ``None`` if it is global unicast.

    IPv4 addresses embedded in IPv6 (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) are extracted and checked.
    6to4 and Teredo are forbidden even with a public address, because no media server uses them.

    Raises:
        ValueError: the text is not an address in its canonical form.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        # Drop the zone ("fd00:ec2::254%eth0"): it would make equal addresses compare as different.
        found = IPv6Address(int(found))
    if found in _METADATA_ADDRESSES:
        return "cloud metadata address"
    if isinstance(found, IPv6Address):
        return _forbidden_v6(found)
    return next((reason for network, reason in _V4 if found in network), None)


def _forbidden_v6(address: IPv6Address) -> str | None:
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if number > 1:
        if address in _MAPPED or address in _NAT64:
            return forbidden_reason(low)
        if address in _COMPATIBLE or address in _TRANSLATED:
            return forbidden_reason(low) or "reserved address"
        if address in _SIX_TO_FOUR:
            return forbidden_reason(IPv4Address(number >> 80 & 0xFFFFFFFF)) or "6to4 tunnel address"
        if address in _TEREDO:
            return forbidden_reason(IPv4Address(~number & 0xFFFFFFFF)) or "Teredo tunnel address"
    for network, reason in _V6:
        if address in network:
            return reason
    if address not in _V6_GLOBAL:
        return "address outside global unicast"
    if (number >> 32 & 0xFFFFFFFF) in _ISATAP:
        return forbidden_reason(low)
    return None


def parse_ip_literal(host: str) -> Address | None:
    """Return the address if a URL's host is an IP literal in any form that resolvers accept, ``None`` for a name.

    Besides ``127.0.0.1`` and ``::1`` these are the forms of ``inet_aton``: ``127.1``, ``2130706433``, ``0x7f.1`` and
    ``0177.0.0.1``. As in the WHATWG URL standard, a host whose last label is a number is an address or an error.

    Raises:
        ValueError: it ends in a number but is not an address, or is IPv6 with a zone.
    """
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare:
        if "%" in bare:
            raise ValueError("IPv6 address with a zone")
        return IPv6Address(bare)
    labels = bare.removesuffix(".").split(".")
    last = labels[-1].lower()
    if not (last.isdigit() or last.startswith("0x")):
        return None
    if len(labels) > 4:
        raise ValueError("malformed IPv4 address")
    *leading, rest = [_number(label) for label in labels]
    if any(part > 255 for part in leading) or rest >= 256 ** (4 - len(leading)):
        raise ValueError("malformed IPv4 address")
    return IPv4Address(sum(part << 8 * (3 - place) for place, part in enumerate(leading)) + rest)


def _number(label: str) -> int:
    lowered = label.lower()
    if not lowered.isascii() or not lowered.isalnum():
        raise ValueError("malformed IPv4 address")
    if lowered.startswith("0x"):
        return int(lowered[2:] or "0", 16)
    return int(lowered, 8 if len(lowered) > 1 and lowered.startswith("0") else 10)
