"""Server-side request forgery: a forbidden address is not called through any spelling, name or redirect."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import trustme

from providers.http.client import AsyncGuardedClient, GuardedClient, guarded_async_client, guarded_client
from providers.http.guard import Policy, check_url, resolve
from schemas.errors import AddressForbidden, ConfigurationError, InputForbidden, InputUnavailable
from tests.security.servers import AsyncPretendInternet, Listener, Names, PretendInternet, reply

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1:248:1893:25c8:1946"

HERE = Path(__file__).parent
ALLOWED = [line for line in (HERE / "allowed_urls.txt").read_text().splitlines() if line and line[0] != "#"]


def blocked_urls(port: int) -> list[tuple[str, str]]:
    """Return each URL of the corpus with its reason, the heading above it."""
    found, reason = [], ""
    for line in (HERE / "blocked_urls.txt").read_text().splitlines()[1:]:
        if line.startswith("# "):
            reason = line.removeprefix("# ")
        elif line:
            found.append((line.format(port=port), reason))
    return [*found, ("http://zero\u200bwidth.example/", "it is not a valid URL")]


@pytest.fixture
def canary() -> Iterator[Listener]:
    """Yield a listener on loopback that must get no connections."""
    with Listener(reply(b"inner secret")) as listener:
        yield listener


def no_lookup(*arguments: object, **options: object) -> None:
    raise AssertionError("looked something up")


def test_every_blocked_url_is_refused_for_its_reason_and_without_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    corpus = blocked_urls(8080)
    told = {}
    for url, _ in corpus:
        try:
            check_url(url, Policy(allow_http=True))
        except AddressForbidden as refusal:
            told[url] = refusal.message

    assert len(corpus) > 90
    assert [url for url, reason in corpus if reason not in told.get(url, "")] == []


def test_every_allowed_url_passes_without_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)

    assert len(ALLOWED) > 20
    for url in ALLOWED:
        assert check_url(url, Policy(allow_http=True)).host


def test_no_client_connects_to_the_canary_by_any_blocked_url(
    monkeypatch: pytest.MonkeyPatch, canary: Listener, tmp_path: Path
) -> None:
    names = Names(monkeypatch, {})
    policy = Policy(allow_http=True, allowed_ports=frozenset({80, 443, canary.port}))
    urls = [url for url, _ in blocked_urls(canary.port)]

    async def post_all() -> None:
        client = AsyncGuardedClient(policy)
        for url in urls:
            with pytest.raises(AddressForbidden):
                await client.post(url, b"{}", {})

    asyncio.run(post_all())
    for url in urls:
        with pytest.raises(AddressForbidden):
            GuardedClient(policy).download(url, tmp_path / "file", 1000)
    assert names.lookups == []

    with guarded_client(policy) as plain:
        for url in urls:
            # This client moves credentials from the URL to a header before the guard sees it, so the name is looked up.
            with pytest.raises((AddressForbidden, httpx2.InvalidURL, httpx2.ConnectError)):
                plain.get(url)

    assert set(names.lookups) <= {"h.example"}
    assert canary.connections == 0
    assert list(tmp_path.iterdir()) == []


def test_plain_http_is_refused_unless_the_policy_allows_it() -> None:
    with pytest.raises(AddressForbidden, match="plain http"):
        check_url("http://h.example/", Policy())

    assert check_url("http://h.example/", Policy(allow_http=True)).scheme == "http"
    assert check_url("http://h.example/", Policy(allowed_hosts=frozenset({"h.example"}))).scheme == "http"


def test_an_error_has_the_reason_but_no_secret_and_no_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, {"inner.example": [["10.20.30.40"]]})
    with pytest.raises(AddressForbidden) as by_text:
        check_url("https://user:s3cret@h.example/?token=s3cret", Policy())
    with pytest.raises(AddressForbidden) as by_name:
        resolve("inner.example", 443, Policy())

    assert "s3cret" not in by_text.value.message
    assert "TELECINE_ALLOWED_PRIVATE_HOSTS" in by_text.value.message
    assert "private address" in by_name.value.message
    assert "10.20.30.40" not in by_name.value.message


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("localhost", "http://localhost:1234/"),
        ("127.0.0.1", "http://127.0.0.1:9000/"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/"),
        ("[::1]", "http://[::1]:9000/"),
        ("::1", "https://[::1]/"),
        ("[::1]:9000", "http://[::1]:9000/"),
        ("MinIO", "http://minio:9000/"),
        ("10.0.0.7", "https://10.0.0.7/"),
        ("100.64.1.1", "https://100.64.1.1/"),
    ],
)
def test_an_allowed_host_may_be_private_and_plain(entry: str, url: str) -> None:
    assert check_url(url, Policy(allowed_hosts=frozenset({entry})))


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9001/"),
        ("127.0.0.1", "http://127.1/"),
        ("127.0.0.1", "http://127.0.0.2/"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ("localhost", "http://a.localhost/"),
        ("minio", "http://minio.example/"),
        ("169.254.169.254", "http://169.254.169.254/"),
        ("169.254.1.1", "http://169.254.1.1/"),
        ("100.100.100.200", "http://100.100.100.200/"),
        ("0.0.0.0", "http://0.0.0.0/"),
        ("224.0.0.1", "http://224.0.0.1/"),
    ],
)
def test_an_allowed_host_allows_only_itself_and_never_the_metadata_service(entry: str, url: str) -> None:
    with pytest.raises(AddressForbidden):
        check_url(url, Policy(allowed_hosts=frozenset({entry})))


def test_an_allowed_name_that_turns_to_the_metadata_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, {"minio": [["169.254.169.254"]]})

    with pytest.raises(AddressForbidden, match="metadata"):
        resolve("minio", 9000, Policy(allowed_hosts=frozenset({"minio"})))


@pytest.mark.parametrize("entry", ["http://localhost", "10.0.0.0/8", "user:s3cret@h", "", "a b", "h:port"])
def test_an_entry_that_is_not_a_host_is_a_configuration_error(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="TELECINE_ALLOWED_PRIVATE_HOSTS") as refusal:
        Policy(allowed_hosts=frozenset({entry}))

    assert "s3cret" not in refusal.value.message


@pytest.mark.parametrize("answers", [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, PUBLIC_V6, "::1"]])
def test_a_name_with_one_forbidden_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], canary: Listener, tmp_path: Path
) -> None:
    Names(monkeypatch, {"mixed.example": [answers]})
    internet = PretendInternet(canary.port)

    with pytest.raises(AddressForbidden):
        GuardedClient(Policy(), dialer=internet).download("https://mixed.example/", tmp_path / "file", 1000)

    assert internet.dialled == []
    assert canary.connections == 0


def test_the_checked_address_is_dialled_after_one_lookup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = Names(monkeypatch, {"h.example": [[PUBLIC], ["127.0.0.1"]]})
    with Listener(reply(b"media")) as server:
        internet = PretendInternet(server.port)
        policy = Policy(allow_http=True)
        fetched = GuardedClient(policy, dialer=internet).download("http://h.example/file", tmp_path / "file", 1000)

    assert fetched.bytes == 5
    assert names.lookups == ["h.example"]
    assert internet.dialled == [f"{PUBLIC}:80"]
    assert b"Host: h.example\r\n" in server.requests[0]


def test_a_name_that_is_rebound_between_two_connections_is_refused_at_the_second(
    monkeypatch: pytest.MonkeyPatch, canary: Listener, tmp_path: Path
) -> None:
    names = Names(monkeypatch, {"rebind.example": [[PUBLIC], ["127.0.0.1"]]})
    again = reply(b"", "302 Found", "Location: http://rebind.example/again")
    with Listener(again) as server:
        internet = PretendInternet(server.port)
        with pytest.raises(AddressForbidden):
            GuardedClient(Policy(allow_http=True), dialer=internet).download(
                "http://rebind.example/", tmp_path / "file", 1000
            )

    assert names.lookups == ["rebind.example"] * 2
    assert internet.dialled == [f"{PUBLIC}:80"]
    assert canary.connections == 0


def test_a_post_resolves_once_and_dials_the_checked_address(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, {"rebind.example": [[PUBLIC], ["127.0.0.1"]]})
    with Listener(reply(b"ok")) as server:
        internet = AsyncPretendInternet(server.port)
        client = AsyncGuardedClient(Policy(allow_http=True), dialer=internet)
        first = asyncio.run(client.post("http://rebind.example/", b"{}", {}))
        with pytest.raises(AddressForbidden):
            asyncio.run(client.post("http://rebind.example/", b"{}", {}))

    assert first.status == 200
    assert names.lookups == ["rebind.example"] * 2
    assert internet.dialled == [f"{PUBLIC}:80"]


def test_a_dead_address_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Names(monkeypatch, {"h.example": [[PUBLIC_V6, PUBLIC]]})
    with Listener(reply(b"media")) as server:
        internet = PretendInternet(server.port, dead=[PUBLIC_V6])
        policy = Policy(allow_http=True)
        GuardedClient(policy, dialer=internet).download("http://h.example/", tmp_path / "file", 1000)

    assert internet.dialled == [f"{PUBLIC_V6}:80", f"{PUBLIC}:80"]


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://[::1]:{port}/", "file:///etc/passwd"]
)
def test_a_redirect_to_a_private_address_is_refused(location: str, canary: Listener, tmp_path: Path) -> None:
    pointed = location.format(port=canary.port)
    with Listener(reply(b"", "302 Found", f"Location: {pointed}")) as server:
        policy = Policy(allowed_hosts=frozenset({server.host}))
        with pytest.raises(AddressForbidden):
            GuardedClient(policy).download(server.url, tmp_path / "file", 1000)
        with guarded_client(policy) as plain, pytest.raises((AddressForbidden, httpx2.UnsupportedProtocol)):
            plain.get(server.url, follow_redirects=True)

    assert canary.connections == 0


def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, canary: Listener, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{canary.host}")

    async def use(policy: Policy, url: str) -> None:
        assert (await AsyncGuardedClient(policy).post(url, b"{}", {})).status == 200
        async with guarded_async_client(policy) as plain:
            assert (await plain.get(url)).status_code == 200

    with Listener(reply(b"direct")) as server:
        policy = Policy(allowed_hosts=frozenset({server.host}))
        GuardedClient(policy).download(server.url, tmp_path / "file", 1000)
        with guarded_client(policy) as plain:
            assert plain.get(server.url).content == b"direct"
        asyncio.run(use(policy, server.url))

    assert canary.connections == 0


def test_address_forbidden_is_not_a_transport_error_that_clients_retry() -> None:
    assert not issubclass(AddressForbidden, httpx2.HTTPError | httpx2.InvalidURL | OSError | ssl.SSLError)


def test_a_slow_name_server_blocks_only_until_the_connect_timeout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(60))
    started = time.monotonic()
    with pytest.raises(InputUnavailable, match="name server"):
        GuardedClient(Policy(), connect_timeout_seconds=0.2).download("https://h.example/", tmp_path / "f", 10)
    reply_seen = asyncio.run(AsyncGuardedClient(Policy()).post("https://h.example/", b"", {}, timeout_seconds=0.2))
    release.set()

    assert reply_seen.status is None
    assert time.monotonic() - started < 20


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server context with a certificate for ``name``, and a client context that trusts the authority."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    return server, client


def test_tls_verifies_the_name_although_an_address_is_dialled(
    monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path
) -> None:
    Names(monkeypatch, {"h.example": [[PUBLIC]], "other.example": [[PUBLIC]]})
    server_tls, client_tls = contexts(authority, "h.example")
    with Listener(reply(b"media"), tls=server_tls) as server:
        client = GuardedClient(Policy(), tls=client_tls, dialer=PretendInternet(server.port))
        assert client.download("https://h.example/", tmp_path / "file", 1000).bytes == 5
        with pytest.raises(InputUnavailable, match="certificate"):
            client.download("https://other.example/", tmp_path / "other", 1000)

        posts = AsyncGuardedClient(Policy(), tls=client_tls, dialer=AsyncPretendInternet(server.port))
        assert asyncio.run(posts.post("https://h.example/", b"{}", {})).status == 200
        refused = asyncio.run(posts.post("https://other.example/", b"{}", {}))

    assert refused.status is None
    assert "certificate" in str(refused.failure).lower()
    assert not (tmp_path / "other").exists()


def test_an_unknown_authority_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tmp_path: Path
) -> None:
    Names(monkeypatch, {"h.example": [[PUBLIC]]})
    server_tls, _ = contexts(authority, "h.example")
    with (
        Listener(reply(b"media"), tls=server_tls) as server,
        pytest.raises(InputUnavailable, match="certificate"),
    ):
        GuardedClient(Policy(), dialer=PretendInternet(server.port)).download("https://h.example/", tmp_path / "f", 10)

    assert server.requests == []


def test_more_than_three_redirects_are_refused(tmp_path: Path) -> None:
    with Listener(reply(b"", "307 Temporary Redirect", "Location: /again")) as server:
        policy = Policy(allowed_hosts=frozenset({server.host}))
        with pytest.raises(InputForbidden, match="redirects more than 3 times"):
            GuardedClient(policy).download(server.url, tmp_path / "file", 1000)

    assert len(server.requests) == 4
