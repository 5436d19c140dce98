"""IP addresses: which are global unicast, and which spellings are addresses."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, strategies as st

from providers.http.addresses import forbidden_reason, parse_ip_literal
from providers.http.redact import redact_url

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "shared",
    "100.127.255.255": "shared",
    "100.100.100.200": "metadata",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "metadata",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "169.254.1.1": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "reserved",
    "192.0.0.192": "metadata",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relay",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmark",
    "198.19.255.255": "benchmark",
    "198.51.100.7": "documentation",
    "203.0.113.9": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::7f00:1": "loopback",
    "::8.8.8.8": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "metadata",
    "::ffff:0:127.0.0.1": "loopback",
    "::ffff:0:8.8.8.8": "reserved",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::a9fe:a9fe": "metadata",
    "64:ff9b:1::8.8.8.8": "local NAT64",
    "64:ff9b:1::10.0.0.1": "local NAT64",
    "64:ff9b:2::1": "outside global unicast",
    "100::1": "discard",
    "2001::1": "reserved",  # Teredo client 255.255.255.254
    "2001:0:4136:e378:8000:63bf:80ff:fffe": "loopback",  # Teredo client 127.0.0.1
    "2001:0:4136:e378:8000:63bf:f7f7:f7f7": "Teredo",  # Teredo client 8.8.8.8
    "2001:2::1": "benchmark",
    "2001:10::1": "reserved",
    "2001:20::1": "reserved",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "3fff:fff::1": "documentation",
    "2002:7f00:1::": "loopback",
    "2002:a00:1::1": "private",
    "2002:808:808::1": "6to4",
    "2606:4700::5efe:192.168.0.1": "private",  # ISATAP
    "2606:4700::200:5efe:127.0.0.1": "loopback",
    "4000::1": "outside global unicast",
    "5f00::1": "outside global unicast",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fd00:ec2::254%eth0": "metadata",
    "::1%lo": "loopback",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
}

PASSED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "2001:4860:4860::8888",
    "2620:fe::fe",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2606:4700::5efe:8.8.8.8",
]


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_an_address_that_is_not_global_unicast_is_refused_with_its_reason(address: str, reason: str) -> None:
    found = forbidden_reason(address)

    assert found is not None
    assert reason in found


@pytest.mark.parametrize("address", PASSED)
def test_a_global_unicast_address_passes(address: str) -> None:
    assert forbidden_reason(address) is None


@given(st.integers(0, 2**32 - 1))
def test_no_address_that_python_calls_private_passes(number: int) -> None:
    address = IPv4Address(number)
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert forbidden_reason(address) is not None


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_the_same_in_every_ipv6_form(number: int) -> None:
    plain = forbidden_reason(IPv4Address(number))

    assert forbidden_reason(IPv6Address(0xFFFF << 32 | number)) == plain
    assert forbidden_reason(IPv6Address(0x64FF9B << 96 | number)) == plain
    assert plain is None or forbidden_reason(IPv6Address(0x2002 << 112 | number << 80)) == plain


@given(st.integers(0, 2**128 - 1))
def test_only_addresses_under_2000_slash_3_pass_except_for_translated_ones(number: int) -> None:
    address = IPv6Address(number)
    if forbidden_reason(address) is None:
        assert number >> 125 == 1 or address.ipv4_mapped is not None or number >> 32 == 0x64FF9B << 64


@pytest.mark.parametrize(
    ("host", "address"),
    {
        "127.0.0.1": "127.0.0.1",
        "127.1": "127.0.0.1",
        "127.0.1": "127.0.0.1",
        "1.2.3": "1.2.0.3",
        "2130706433": "127.0.0.1",
        "0x7f000001": "127.0.0.1",
        "0x7f.1": "127.0.0.1",
        "0X7F.0.0.0X1": "127.0.0.1",
        "0177.0.0.1": "127.0.0.1",
        "017700000001": "127.0.0.1",
        "127.0.0.1.": "127.0.0.1",
        "0": "0.0.0.0",
        "0x": "0.0.0.0",
        "134744072": "8.8.8.8",
        "::1": "::1",
        "[::1]": "::1",
        "::ffff:127.0.0.1": "::ffff:127.0.0.1",
    }.items(),
)
def test_an_address_is_read_in_every_spelling(host: str, address: str) -> None:
    assert parse_ip_literal(host) == ip_address(address)


@pytest.mark.parametrize(
    "host", ["example.com", "example.com.", "1.example", "0x7f.example", "a", "xn--bcher-kva.example"]
)
def test_a_name_is_not_an_address(host: str) -> None:
    assert parse_ip_literal(host) is None


@pytest.mark.parametrize(
    "host",
    ["256.1.1.1", "1.2.3.4.5", "1.2.256.1", "4294967296", "08.1.1.1", "a.1", "0xg", "1..1", "fe80::1%eth0", ":::"],
)
def test_a_host_that_only_ends_like_an_address_is_an_error(host: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_ip_literal(host)


@pytest.mark.parametrize(
    ("url", "shown"),
    {
        "https://h.example/a/b.jpg": "https://h.example/a/b.jpg",
        "https://h.example/a?X-Amz-Signature=s3cret#part": "https://h.example/a",
        "https://user:s3cret@h.example:8443/a": "https://h.example:8443/a",
        "https://s3cret\\@h.example/a": "https://h.example/a",
        "https://a@s3cret@h.example/": "https://h.example/",
        "s3://bucket/key": "s3://bucket/key",
        "https://h.example/a\nlevel=info": "https://h.example/a",
        "s3cret": "<not a URL>",
        "https://[s3cret": "<not a URL>",
        "": "<not a URL>",
    }.items(),
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_a_long_url_is_cut() -> None:
    assert len(redact_url("https://h.example/" + "a" * 5000)) == 200


@given(st.text(st.sampled_from("0123456789abcdefxX."), min_size=1, max_size=14))
def test_an_address_that_the_system_reads_is_read_as_the_same_one(host: str) -> None:
    try:
        packed = socket.inet_aton(host)
    except OSError:
        return
    try:
        found = parse_ip_literal(host)
    except ValueError:
        return  # a rejected address is safe too

    assert found == IPv4Address(packed)
