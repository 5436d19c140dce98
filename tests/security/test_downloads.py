"""Downloads from servers that send wrong lengths, stall, break off or never end: a complete file or none."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
import tracemalloc
from pathlib import Path

import pytest

from providers.http.client import GuardedClient
from providers.http.guard import Policy
from schemas.errors import InputForbidden, InputNotFound, InputTooLarge, InputUnavailable, TelecineError
from tests.security.servers import Listener, Names, Script, closed_port, reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def client_for(server: Listener, **options: float) -> GuardedClient:
    return GuardedClient(Policy(allowed_hosts=frozenset({server.host})), **options)  # type: ignore[arg-type]


def refused(script: Script | bytes, into: Path, *, limit_bytes: int = 1000, **options: float) -> TelecineError:
    """Download from a server with this answer; return the error after checking that no file is left."""
    with Listener(script) as server, pytest.raises(TelecineError) as refusal:
        client_for(server, **options).download(server.url, into / "file", limit_bytes)
    assert list(into.iterdir()) == []
    return refusal.value


@pytest.mark.parametrize(
    "script",
    [
        reply(b"media" * 100, "200 OK", "Content-Type: image/png"),
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n1F4\r\n"
        + b"media" * 100
        + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(b"media" * 100, "200 OK", "Content-Type: image/png"),
    ],
)
def test_a_download_gives_the_file_its_size_its_digest_and_its_type(script: bytes, tmp_path: Path) -> None:
    with Listener(script) as server:
        fetched = client_for(server).download(server.url, tmp_path / "file", 500)

    assert (tmp_path / "file").read_bytes() == b"media" * 100
    assert (fetched.bytes, fetched.content_type) == (500, "image/png")
    assert fetched.sha256 == hashlib.sha256(b"media" * 100).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert b"accept-encoding: identity\r\n" in server.requests[0].lower()


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    with Listener(reply(b"")) as server:
        assert client_for(server).download(server.url, tmp_path / "file", 10).bytes == 0


def test_a_relative_redirect_is_followed(tmp_path: Path) -> None:
    def script(connection: socket.socket, head: bytes) -> None:
        moved = head.startswith(b"GET /there")
        connection.sendall(reply(b"media") if moved else reply(b"", "302 Found", "Location: /there"))

    with Listener(script) as server:
        assert client_for(server).download(server.url, tmp_path / "file", 10).bytes == 5


@pytest.mark.parametrize(
    ("status", "kind"),
    {
        "404 Not Found": InputNotFound,
        "410 Gone": InputNotFound,
        "401 Unauthorized": InputForbidden,
        "403 Forbidden": InputForbidden,
        "400 Bad Request": InputForbidden,
        "204 No Content": InputForbidden,
        "206 Partial Content": InputForbidden,
        "304 Not Modified": InputForbidden,
        "408 Request Timeout": InputUnavailable,
        "429 Too Many Requests": InputUnavailable,
        "500 Internal Server Error": InputUnavailable,
        "503 Service Unavailable": InputUnavailable,
    }.items(),
)
def test_the_status_decides_whether_an_error_is_retryable(
    status: str, kind: type[TelecineError], tmp_path: Path
) -> None:
    assert type(refused(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode(), tmp_path)) is kind


def test_an_announced_size_over_the_limit_is_refused_before_the_body(tmp_path: Path) -> None:
    script = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"

    assert type(refused(script, tmp_path)) is InputTooLarge
    assert type(refused(script.replace(b"1001", b"9" * 5000), tmp_path)) in (InputTooLarge, InputUnavailable)


def endless(connection: socket.socket, head: bytes) -> None:
    connection.sendall(CHUNKED)
    while True:
        connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def test_a_body_without_end_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    tracemalloc.start()
    error = refused(endless, tmp_path, limit_bytes=20_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert type(error) is InputTooLarge
    assert peak < 8_000_000


def test_a_body_longer_than_announced_is_read_no_further_than_announced(tmp_path: Path) -> None:
    with Listener(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + b"x" * 100_000) as server:
        assert client_for(server).download(server.url, tmp_path / "file", 10).bytes == 5


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        CHUNKED + b"5\r\nshort\r\n",
        CHUNKED + b"500\r\nshort",
        CHUNKED + b"zz\r\nshort\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nno length, so who knows",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nno length either",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshort!",
        b"not HTTP at all\r\n\r\n",
        b"",
    ],
)
def test_a_connection_that_ends_early_or_sends_invalid_data_leaves_no_file(script: bytes, tmp_path: Path) -> None:
    assert type(refused(script, tmp_path)) is InputUnavailable


def test_a_connection_that_is_reset_leaves_no_file(tmp_path: Path) -> None:
    def reset(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    assert type(refused(reset, tmp_path)) is InputUnavailable


def test_a_gzip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    error = refused(reply(bomb, "200 OK", "Content-Encoding: gzip"), tmp_path, limit_bytes=100_000)

    assert type(error) is InputForbidden
    assert "gzip" in error.message


def test_headers_without_end_are_cut_off(tmp_path: Path) -> None:
    def flood(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Filler: " + b"a" * 60_000 + b"\r\n")

    assert type(refused(flood, tmp_path)) is InputUnavailable


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", CHUNKED[:-2], b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"]
)
def test_a_slow_download_ends_at_the_total_timeout(start: bytes, tmp_path: Path) -> None:
    def drip(connection: socket.socket, head: bytes) -> None:
        connection.sendall(start)
        while True:
            time.sleep(0.05)
            connection.sendall(b"a")

    started = time.monotonic()
    error = refused(drip, tmp_path, read_timeout_seconds=1.0, total_timeout_seconds=0.5)

    assert type(error) is InputUnavailable
    assert time.monotonic() - started < 15  # otherwise it would drip without end


def test_a_silent_server_ends_the_download_at_the_read_timeout(tmp_path: Path) -> None:
    def silent(connection: socket.socket, head: bytes) -> None:
        connection.recv(1)

    started = time.monotonic()
    error = refused(silent, tmp_path, read_timeout_seconds=0.2)

    assert type(error) is InputUnavailable
    assert time.monotonic() - started < 4.5  # the server is silent for five seconds


def test_a_refused_connection_and_an_unknown_name_are_retryable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Names(monkeypatch, {})
    with closed_port() as port:
        client = GuardedClient(Policy(allowed_hosts=frozenset({"127.0.0.1"})))
        with pytest.raises(InputUnavailable):
            client.download(f"http://127.0.0.1:{port}/", tmp_path / "file", 10)
    with pytest.raises(InputUnavailable, match="looked up"):
        client.download("https://unknown.example/", tmp_path / "file", 10)


def test_errors_contain_no_part_of_a_presigned_query(tmp_path: Path) -> None:
    for script in (reply(b"", "404 Not Found"), reply(b"x" * 2000), reply(b"", "503 No"), b"", CHUNKED + b"5"):
        with Listener(script) as server, pytest.raises(TelecineError) as refusal:
            client_for(server).download(f"{server.url}?X-Amz-Signature=s3cret", tmp_path / "file", 1000)
        assert "s3cret" not in refusal.value.message


def test_an_older_file_of_the_same_name_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with Listener(CHUNKED + b"5\r\nshort") as server, pytest.raises(InputUnavailable):
        client_for(server).download(server.url, tmp_path / "file", 1000)

    assert (tmp_path / "file").read_bytes() == b"old"
