"""Callbacks to receivers that redirect, stall, flood or break off; and the receiver that tests use."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from pydantic import SecretStr
from standardwebhooks import WebhookVerificationError

from consumer.callbacks.signing import generate_secret, sign
from providers.http.client import AsyncGuardedClient, Reply
from providers.http.guard import Policy
from providers.http.posts import EXCERPT_BYTES
from tests.receiver import Answer, Receiver, redirect
from tests.security.servers import Listener, Script, closed_port, reply
from tests.servers.ports import free_port

ANYWHERE = Policy(allowed_hosts=frozenset({"127.0.0.1"}))


def post(
    url: str, body: bytes = b"{}", headers: Mapping[str, str] = MappingProxyType({}), timeout_seconds: float = 20.0
) -> Reply:
    return asyncio.run(AsyncGuardedClient(ANYWHERE).post(url, body, headers, timeout_seconds))


def post_to(script: Script | bytes, timeout_seconds: float = 20.0) -> Reply:
    with Listener(script) as server:
        return post(server.url, timeout_seconds=timeout_seconds)


def test_a_signed_callback_arrives_byte_for_byte_and_verifies() -> None:
    secret, body = generate_secret(), '{"type": "job.completed",  "data": {"prompt": "Grüße"}}'.encode()
    headers = sign("msg_1", int(time.time()), body, [SecretStr(secret)]) | {"content-type": "application/json"}
    with Receiver(answers=[Answer(202, {"x-note": "seen"}, b"thanks")]) as receiver:
        answer = post(receiver.url, body, headers)
        attempt = receiver.wait_for(1)[0]
        assert receiver.verify(attempt, secret) == json.loads(body)
        with pytest.raises(WebhookVerificationError):
            receiver.verify(attempt, generate_secret())

    assert (answer.status, answer.body_excerpt, answer.headers["x-note"]) == (202, b"thanks", "seen")
    assert answer.failure is None
    assert 0 < answer.elapsed_seconds < 20
    assert (attempt.method, attempt.path, attempt.body) == ("POST", "/hook", body)
    assert attempt.headers["content-type"] == "application/json"


def test_the_receiver_follows_its_script_and_repeats_its_last_answer() -> None:
    with Receiver(answers=[500, Answer(429, {"retry-after": "7"}), 200]) as receiver:
        replies = [post(receiver.url) for _ in range(4)]
        assert len(receiver.wait_for(4)) == 4
        with pytest.raises(AssertionError, match="4 of 5"):
            receiver.wait_for(5, timeout=0.05)

    assert [answer.status for answer in replies] == [500, 429, 200, 200]
    assert replies[1].headers["retry-after"] == "7"


def test_a_redirect_is_a_reply_and_is_not_followed() -> None:
    with Receiver() as target, Receiver(answers=[redirect(target.url)]) as receiver:
        assert post(receiver.url).status == 302
        assert target.attempts == []


def test_only_an_excerpt_of_a_huge_body_is_read() -> None:
    sent = 0

    def flood(connection: socket.socket, head: bytes) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while sent < 1_000_000_000:
            sent += connection.send(bytes(65536))

    answer = post_to(flood)

    assert answer.status == 200
    assert len(answer.body_excerpt) == EXCERPT_BYTES
    assert sent < 20_000_000


@pytest.mark.parametrize("filler", [b"X-Filler: " + b"a" * 60_000 + b"\r\n", b"X: y\r\n" * 10_000])
def test_a_reply_with_too_many_headers_is_not_a_reply(filler: bytes) -> None:
    answer = post_to(b"HTTP/1.1 200 OK\r\n" + filler + b"Content-Length: 0\r\n\r\n")

    assert answer.status is None
    assert "Error" in str(answer.failure)


def test_endless_headers_and_interim_replies_are_cut_off() -> None:
    def headers(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Filler: " + b"a" * 1000 + b"\r\n")

    def interim(connection: socket.socket, head: bytes) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nX-Filler: a\r\n\r\n")
            time.sleep(0.01)

    assert post_to(headers).status is None
    assert "0.3 seconds" in str(post_to(interim, 0.3).failure)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_a_slow_receiver_ends_at_the_total_timeout(start: bytes) -> None:
    def drip(connection: socket.socket, head: bytes) -> None:
        connection.sendall(start)
        while True:
            time.sleep(0.05)
            connection.sendall(b"H" if not start else b"a")

    answer = post_to(drip, 0.4)

    assert answer.status is None
    assert answer.failure == "no complete reply within 0.4 seconds" or "Protocol" in str(answer.failure)
    assert answer.elapsed_seconds < 15  # otherwise it would drip without end


def test_a_status_that_arrived_counts_although_the_body_stalls_or_breaks_off() -> None:
    def stall(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        connection.settimeout(60)
        connection.recv(1)

    stalled = post_to(stall, 2.0)
    broken = post_to(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    assert (stalled.status, stalled.body_excerpt) == (200, b"abc")
    assert (broken.status, broken.body_excerpt) == (200, b"abc")
    assert stalled.elapsed_seconds < 20


_ODD_HEADERS = {
    "F9-space-in-a-name": b"X Powered By: PHP",
    "F9-space-before-the-colon": b"Server : nginx",
    "F9-no-colon": b"Status line of another server",
    "F9-empty-name": b": value",
    "F9-name-in-utf-8": "Größe: 1".encode(),
    "F9-NUL-in-a-value": b"X-Note: a\x00b",
    "F9-bare-CR-in-a-value": b"X-Note: a\rb",
    "F9-folded-odd-line": b"X Odd: a\r\n  folded",
    "F9-starts-with-white-space": b" X-Note: a",
    "F9-two-lengths": b"Content-Length: 1",
    "F9-length-is-text": b"Content-Length: many",
    "F9-length-of-5000-digits": b"Content-Length: " + b"9" * 5000,
    "F9-unknown-transfer-coding": b"Transfer-Encoding: gzip",
}


@pytest.mark.parametrize("status", [200, 410, 503])
@pytest.mark.parametrize("line", _ODD_HEADERS.values(), ids=_ODD_HEADERS)
def test_a_status_counts_although_a_header_cannot_be_read(line: bytes, status: int) -> None:
    answer = post_to(b"HTTP/1.1 %d Reason\r\n%s\r\nContent-Length: 2\r\n\r\nok" % (status, line))

    assert (answer.status, answer.failure) == (status, None)


def test_the_other_headers_and_the_body_are_read_although_one_header_is_malformed_F9() -> None:
    early = b"HTTP/1.1 103 Early\r\nX Odd: 1\r\n\r\n"
    answer = post_to(early + b"HTTP/1.1 429 Slow\nX Odd: 1\nRetry-After : 7\nContent-Length:  2\n\nok, and more")

    assert (answer.status, answer.body_excerpt) == (429, b"ok")
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize("script", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_no_reply_or_an_invalid_one_is_a_failure_with_its_reason(script: bytes) -> None:
    answer = post_to(script)

    assert answer.status is None
    assert answer.failure


def test_a_refused_connection_is_a_failure_with_its_reason() -> None:
    with closed_port() as port:
        answer = post(f"http://127.0.0.1:{port}/?token=s3cret")

    assert answer.status is None
    assert "ConnectError" in str(answer.failure)
    assert "s3cret" not in str(answer.failure)


def test_many_posts_run_at_once() -> None:
    async def all_at_once(url: str) -> list[Reply]:
        client = AsyncGuardedClient(ANYWHERE)
        return await asyncio.gather(*(client.post(url, b"{}", {}) for _ in range(20)))

    with Receiver(answers=[Answer(delay_seconds=1.5)]) as receiver:
        started = time.monotonic()
        replies = asyncio.run(all_at_once(receiver.url))

    assert {answer.status for answer in replies} == {200}
    assert time.monotonic() - started < 15  # one after the other they would take 30 seconds


def test_the_receiver_answers_raw_bytes() -> None:
    with Receiver(answers=[Answer(raw=reply(b"raw", "418 Teapot"))]) as receiver:
        answer = post(receiver.url)

    assert (answer.status, answer.body_excerpt) == (418, b"raw")


def test_the_receiver_runs_as_a_process_and_writes_its_log(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.receiver", "--port", str(port), "--log", str(tmp_path / "log")]
    process = subprocess.Popen(
        [*command, "--answers", "500,200"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )
    try:
        assert process.stdout is not None
        assert "receiving at" in process.stdout.readline()
        url = f"http://127.0.0.1:{port}/hook"
        assert [post(url).status, post(url).status] == [500, 200]
        assert urllib.request.urlopen(f"{url}?ping", timeout=5).status == 200
        process.send_signal(signal.SIGINT)
        assert "3 attempts" in process.communicate(timeout=30)[0]
    finally:
        process.kill()
        process.communicate()

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["method"] for line in lines] == ["POST", "POST", "GET"]
    assert lines[0]["body"] == "{}"
