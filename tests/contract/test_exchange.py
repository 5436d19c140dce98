"""An exchange with a provider: one request, and what each network fault means for a paid call."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import socket
import ssl
import struct
import threading
import time
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
import trustme

from providers.http.exchange import Exchange, FormPart
from providers.http.policy import Policy
from providers.http.response import ProviderResponse
from schemas.errors import ProviderError, ProviderNotConfigured, ProviderRefused, Verdict
from tests.security.servers import Listener, Script, closed_port, reply

ANYWHERE = Policy(allowed_hosts=frozenset({"127.0.0.1"}))
KEY = "sEcr3t-0123456789"


def exchange(base: str, **options: Any) -> Exchange:
    named: dict[str, Any] = {"provider": "Provider", "key_setting": "PROVIDER_KEY", "timeout_seconds": 5.0} | options
    return Exchange(base, named.pop("policy", ANYWHERE), {"authorization": f"Bearer {KEY}"}, **named)


def send(
    base: str,
    path: str = "/go",
    *,
    paid: bool = True,
    method: str = "POST",
    json: Any = None,
    parts: Mapping[str, FormPart] | None = None,
    refine: Any = None,
    **options: Any,
) -> ProviderResponse:
    async def work() -> ProviderResponse:
        door = exchange(base, **options)
        try:
            return await door.send(method, path, json=json, parts=parts, paid=paid, refine=refine)
        finally:
            await door.aclose()

    return asyncio.run(work())


def fault(script: Script | bytes, *, paid: bool, **options: Any) -> tuple[ProviderError, Listener]:
    with Listener(script) as server, pytest.raises(ProviderError) as caught:
        send(f"http://{server.host}", paid=paid, **options)
    assert KEY not in str(caught.value)
    return caught.value, server


def reset(connection: socket.socket, head: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drop(connection: socket.socket, head: bytes) -> None:
    """Send no response; the listener closes the connection."""


def stall(connection: socket.socket, head: bytes) -> None:
    time.sleep(1.5)


def drip(connection: socket.socket, head: bytes) -> None:
    for _ in range(300):
        connection.sendall(b"H")
        time.sleep(0.1)


def half(connection: socket.socket, head: bytes) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id": "x"')


BROKEN: dict[str, Script | bytes] = {
    "reset": reset,
    "dropped": drop,
    "stalled": stall,
    "dripping": drip,
    "cut in the body": half,
    "no HTTP": b"220 smtp ready\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length of 5,000 digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "too large": reply(b"x" * 2000),
    "packed in an unknown way": reply(b"x", "200 OK", "Content-Encoding: br"),
    "packed badly": reply(b"no gzip at all", "200 OK", "Content-Encoding: gzip"),
    "a bomb": reply(gzip.compress(b"x" * 1_000_000), "200 OK", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_connection_that_breaks_after_sending_leaves_a_paid_call_unknown(name: str) -> None:
    # Only faults that never end wait for the time limit.
    seconds = 1.0 if name in ("stalled", "dripping") else 20.0
    error, server = fault(BROKEN[name], paid=True, timeout_seconds=seconds, limit_bytes=1000, json={"a": 1})
    assert error.code == "outcome_unknown"
    assert len(server.requests) == 1
    assert server.connections == 1


_ODD_LINES = {
    "F9-space-in-a-name": b"X Request Id: 7",
    "F9-space-before-the-colon": b"Server : nginx",
    "F9-no-colon": b"nonsense",
    "F9-control-character": b"X-Note: a\x01b",
}


@pytest.mark.parametrize("line", _ODD_LINES.values(), ids=_ODD_LINES)
def test_a_paid_response_with_a_malformed_header_is_read_with_its_task(line: bytes) -> None:
    script = b"HTTP/1.1 200 OK\r\n" + line + b'\r\nContent-Length: 11\r\n\r\n{"id": "7"}'
    with Listener(script) as server:
        assert send(f"http://{server.host}").json() == {"id": "7"}
    assert len(server.requests) == 1


def test_a_free_request_after_a_malformed_header_is_read_too_F9() -> None:
    async def work(base: str) -> list[Any]:
        door = exchange(base)
        try:
            return [(await door.send("GET", "/go", paid=False)).json() for _ in range(20)]
        finally:
            await door.aclose()

    with Listener(b"HTTP/1.1 200 OK\r\nX Odd: 1\r\nContent-Length: 1\r\n\r\n1") as server:
        assert asyncio.run(work(f"http://{server.host}")) == [1] * 20


@pytest.mark.parametrize(
    ("status", "code"), [(402, "quota_exhausted"), (429, "rate_limited"), (400, "provider_refused")]
)
def test_a_paid_call_that_was_refused_is_not_unknown_although_its_headers_cannot_be_read_F9(
    status: int, code: str
) -> None:
    error, _ = fault(b"HTTP/1.1 %d No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" % status, paid=True)
    assert error.code == code


def test_a_provider_that_drips_is_cut_off_at_the_exchange_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(ProviderError), Listener(drip) as server:
        send(f"http://{server.host}", paid=True, timeout_seconds=0.5)
    given_up = time.monotonic() - started
    assert given_up < 15  # the server would drip for half a minute; closing the listener waits for its next byte


def test_a_decompression_bomb_is_cut_off_at_the_limit() -> None:
    bomb = reply(gzip.compress(bytes(60_000_000)), "200 OK", "Content-Encoding: gzip")
    tracemalloc.start()
    try:
        error, _ = fault(bomb, paid=False, limit_bytes=1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "provider_unavailable"
    assert peak < 20_000_000


@pytest.mark.parametrize("name", ["reset", "dropped", "stalled", "cut in the body", "too large"])
def test_an_unpaid_request_without_a_complete_response_is_retryable(name: str) -> None:
    error, server = fault(BROKEN[name], paid=False, timeout_seconds=1.0, limit_bytes=1000)
    assert (error.code, error.verdict) == ("provider_unavailable", Verdict.LATER)
    assert server.connections == 1


def test_a_call_to_a_closed_port_was_certainly_not_accepted() -> None:
    with closed_port() as port, pytest.raises(ProviderError, match="Nothing was sent") as caught:
        send(f"http://127.0.0.1:{port}", paid=True)
    assert caught.value.code == "provider_unavailable"


def test_a_call_whose_connection_takes_too_long_was_certainly_not_accepted() -> None:
    # The backlog is full, so the kernel accepts no further connection.
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        held = [socket.socket() for _ in range(3)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(busy.getsockname())
        with pytest.raises(ProviderError, match="Nothing was sent") as caught:
            send(f"http://127.0.0.1:{busy.getsockname()[1]}", paid=True, timeout_seconds=0.5)
        for each in held:
            each.close()
    assert caught.value.code == "provider_unavailable"


def test_a_certificate_that_is_not_trusted_stops_the_call_before_it_is_sent() -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server_side)
    with Listener(reply(b"{}"), tls=server_side) as server, pytest.raises(ProviderError) as caught:
        send(f"https://{server.host}", paid=True)
    assert caught.value.code == "provider_unavailable"
    assert server.requests == []


def test_a_trusted_certificate_is_accepted() -> None:
    authority, server_side, trust = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), None
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with Listener(reply(b"{}"), tls=server_side) as server:
        assert send(f"https://{server.host}", paid=True, tls=trust).json() == {}


def test_a_json_request_is_sent_with_the_key_and_its_response_is_parsed() -> None:
    with Listener(reply(b'{"id": "t1"}', "202 Accepted", "X-Note: seen")) as server:
        answer = send(f"http://{server.host}/web/", "/generate", json={"prompt": "Grüße"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (answer.status, answer.json(), answer.headers["x-note"]) == (202, {"id": "t1"}, "seen")
    assert head.startswith(b"POST /web/generate HTTP/1.1\r\n")
    assert json.loads(body) == {"prompt": "Grüße"}
    assert f"bearer {KEY}".lower().encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert len(server.requests) == 1


def test_a_form_is_sent_in_parts_with_texts_and_files() -> None:
    with Listener(reply(b"{}")) as server:
        send(f"http://{server.host}", parts={"prompt": "a kite", "file": ("in.png", b"\x89PNG", "image/png")})
    request = server.requests[0]
    assert b"multipart/form-data; boundary=" in request
    assert b'name="prompt"\r\n\r\na kite\r\n' in request
    assert b'name="file"; filename="in.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in request


def test_a_compressed_response_is_decompressed() -> None:
    packed = reply(gzip.compress(b'{"id": 1}'), "200 OK", "Content-Encoding: gzip")
    with Listener(packed) as server:
        assert send(f"http://{server.host}").json() == {"id": 1}


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_a_redirect_is_not_followed_and_does_not_get_the_key(status: str) -> None:
    with Listener(reply(b"{}")) as target:
        error, server = fault(reply(b"", status, f"Location: http://{target.host}/"), paid=False)
        assert target.connections == 0
    assert (error.code, len(server.requests)) == ("provider_not_configured", 1)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 429])
def test_an_error_status_is_a_refusal_even_if_its_body_breaks_off(status: int) -> None:
    head = f"HTTP/1.1 {status} x\r\nContent-Length: 100\r\n\r\n".encode()
    error, _ = fault(head + b'{"message": "no', paid=True)
    assert error.code != "outcome_unknown"
    assert error.verdict in (Verdict.NEVER, Verdict.LATER)


def test_a_refusal_has_the_providers_message_without_the_key() -> None:
    body = json.dumps({"error": {"message": f"key {KEY} may not use https://h.example/x?sig=abc\x07"}}).encode()
    error, _ = fault(reply(body, "403 Forbidden"), paid=True)
    assert error.message == (
        "Provider answered HTTP 403: key [hidden] may not use https://h.example/x. Replace the key in PROVIDER_KEY."
    )


def test_too_many_requests_has_the_time_to_wait() -> None:
    error, _ = fault(reply(b"{}", "429 Too Many Requests", "Retry-After: 17"), paid=True)
    assert (error.code, error.retry_after_seconds) == ("rate_limited", 17.0)


def test_an_adapter_can_refine_a_refusal() -> None:
    def refine(answer: ProviderResponse) -> ProviderError | None:
        return ProviderRefused("mine") if answer.json() == {"code": 9} else None

    assert fault(reply(b'{"code": 9}', "403 x"), paid=True, refine=refine)[0].message == "mine"
    assert fault(reply(b'{"code": 8}', "403 x"), paid=True, refine=refine)[0].code == "provider_unauthorized"


def test_a_response_that_is_not_json_is_unknown_if_paid_and_retryable_if_not() -> None:
    for paid, code in ((True, "outcome_unknown"), (False, "provider_answer_invalid")):
        with Listener(reply(b"<html>")) as server, pytest.raises(ProviderError) as caught:
            send(f"http://{server.host}", paid=paid).json()
        assert caught.value.code == code


def test_a_paid_call_uses_a_new_connection_and_unpaid_requests_share_one() -> None:
    def keep(connection: socket.socket, head: bytes) -> None:
        while head:
            connection.sendall(reply(b"{}"))
            head = connection.recv(65536)

    async def work(server: Listener) -> tuple[int, int]:
        door = exchange(f"http://{server.host}")
        for _ in range(30):
            await door.send("GET", "/look", paid=False)
        asked = server.connections
        for _ in range(3):
            await door.send("POST", "/go", paid=True)
        await door.aclose()
        return asked, server.connections - asked

    with Listener(keep) as server:
        asked, paid = asyncio.run(work(server))
    assert asked <= 8
    assert paid == 3


def test_the_key_is_sent_only_to_the_host_of_the_base_url() -> None:
    with Listener(reply(b"{}")) as home, Listener(reply(b"{}")) as other:
        send(f"http://{home.host}", f"http://{other.host}/upload", paid=False)
        send(f"http://{home.host}", f"http://{home.host}/mine", paid=False)
    assert KEY.encode() not in other.requests[0]
    assert KEY.encode() in home.requests[0]


@pytest.mark.parametrize(
    "base",
    [
        "http://10.0.0.1",
        "https://169.254.169.254/latest",
        "http://provider.example",
        "ftp://provider.example",
        "provider",
        "https://user:word@provider.example",
    ],
)
def test_the_error_for_a_forbidden_base_url_has_the_url_and_a_remedy(base: str) -> None:
    with pytest.raises(ProviderNotConfigured, match="TELECINE_ALLOWED_PRIVATE_HOSTS") as caught:
        exchange(base, policy=Policy())
    assert "word" not in caught.value.message.replace("a password", "")


def test_a_name_with_a_private_address_is_refused_when_it_is_called(monkeypatch: Any) -> None:
    def inner(*arguments: Any, **options: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.1.9", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", inner)
    with pytest.raises(ProviderNotConfigured, match="TELECINE_ALLOWED_PRIVATE_HOSTS"):
        send("https://provider.example", paid=True, policy=Policy())


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel", " padded", ""])
def test_a_key_that_is_not_a_valid_header_is_refused_before_any_request(key: str) -> None:
    with pytest.raises(ProviderNotConfigured, match="PROVIDER_KEY") as caught:
        Exchange("https://v.example", Policy(), {"x-key": key}, provider="Provider", key_setting="PROVIDER_KEY")
    assert not key.strip() or key.strip() not in caught.value.message


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener(reply(b"{}")) as proxy, Listener(reply(b'{"direct": 1}')) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setitem(os.environ, name, f"http://{proxy.host}")
        assert send(f"http://{server.host}").json() == {"direct": 1}
        assert proxy.connections == 0


def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Listener(reply(b"{}")) as server:
        send(f"http://{server.host}", json={})
    assert KEY not in caplog.text


def test_a_cancelled_call_closes_its_connection() -> None:
    closed: list[bytes] = []
    arrived = threading.Event()

    def listen(connection: socket.socket, head: bytes) -> None:
        arrived.set()
        closed.append(connection.recv(10))

    async def work(base: str) -> None:
        door = exchange(base)
        task = asyncio.create_task(door.send("POST", "/go", paid=True))
        assert await asyncio.to_thread(arrived.wait, 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await door.aclose()

    with Listener(listen) as server:
        asyncio.run(work(f"http://{server.host}"))
    assert closed == [b""]
