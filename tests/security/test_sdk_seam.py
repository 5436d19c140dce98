"""Providers' SDKs behind the guard: they send one request, to the host that they were opened for."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from providers.base import Call, RemoteProvider, TaskRef
from providers.elevenlabs import adapter as elevenlabs_adapter
from providers.elevenlabs.models import FORCED_ALIGNMENT
from providers.http.exchange import Exchange
from providers.http.policy import Policy
from providers.http.sdk import SdkTransport, sdk_client, send_sdk_request
from providers.replicate import adapter as replicate_adapter
from providers.replicate.models import CLIP_INTERROGATOR
from schemas.errors import ProviderError, ProviderNotConfigured, ProviderRefused, ProviderUnavailable
from schemas.settings import Settings
from tests.doubles.calls import call_of, media
from tests.security.servers import Listener, Names, reply
from tests.security.test_guard import blocked_urls

KEY = SecretStr("sEcr3t-0123456789")
HERE = Policy(allowed_hosts=frozenset({"127.0.0.1"}))
CLIP = call_of(CLIP_INTERROGATOR, {}, {"image": media("in.png", "image/png")})


def replicate(base: str, policy: Policy = HERE) -> replicate_adapter.Replicate:
    return replicate_adapter.from_settings(Settings(replicate_token=KEY, replicate_base_url=base), policy)


def elevenlabs(base: str, policy: Policy = HERE) -> elevenlabs_adapter.ElevenLabs:
    return elevenlabs_adapter.from_settings(Settings(elevenlabs_key=KEY, elevenlabs_base_url=base), policy)


def alignment(folder: Path) -> Call:
    path = folder / "song.wav"
    path.write_bytes(b"RIFF")
    song = media("song.wav", "audio/wav")
    return call_of(
        FORCED_ALIGNMENT, {"text": "x"}, {"audio": type(song)(song.url, song.content_type, 4, "0" * 64, lambda: path)}
    )


def exchange(base: str, policy: Policy = HERE) -> Exchange:
    return Exchange(base, policy, {"x-key": KEY.get_secret_value()}, provider="Provider", key_setting="PROVIDER_KEY")


def failure(provider: RemoteProvider, work: Callable[[Any], Awaitable[object]]) -> ProviderError:
    async def run() -> None:
        try:
            await work(provider)
        finally:
            await provider.aclose()

    with pytest.raises(ProviderError) as caught:
        asyncio.run(run())
    return caught.value


def test_no_sdk_is_opened_for_a_url_of_the_blocked_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, {})
    with Listener(reply(b"{}")) as canary:
        policy = Policy(allow_http=True, allowed_ports=frozenset({80, 443, canary.port}))
        urls = [url for url, _ in blocked_urls(canary.port)]
        assert len(urls) > 90
        for url in urls:
            for opening in (replicate, elevenlabs):
                with pytest.raises(ProviderNotConfigured):
                    opening(url, policy)
        assert canary.connections == 0
    assert names.lookups == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_with_a_private_address_is_looked_up_once_and_never_dialled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    names = Names(monkeypatch, {"api.provider.example": [["93.184.216.34", address]]})
    dialled: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, target: dialled.append(target))
    call = alignment(tmp_path)
    policy = Policy()
    for error in (
        failure(replicate("https://api.provider.example", policy), lambda provider: provider.submit(CLIP)),
        failure(replicate("https://api.provider.example", policy), lambda provider: provider.poll(CLIP, TaskRef("x"))),
        failure(elevenlabs("https://api.provider.example", policy), lambda provider: provider.submit(call)),
    ):
        assert error.code == "provider_not_configured"
        assert "not public" in error.message
    assert names.lookups == ["api.provider.example"] * 3
    assert dialled == []


def test_a_name_that_does_not_exist_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, {})
    error = failure(replicate("https://api.provider.example", Policy()), lambda provider: provider.submit(CLIP))
    assert error.code == "provider_unavailable"


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Listener(reply(b"{}")) as proxy, Listener(reply(b'{"id": "x", "words": []}')) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
            monkeypatch.setenv(name.lower(), f"http://{proxy.host}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        call = alignment(tmp_path)

        async def work() -> None:
            first, second = replicate(f"http://{server.host}"), elevenlabs(f"http://{server.host}")
            assert await first.submit(CLIP) == TaskRef("x")
            assert (await second.submit(call)).value["words"] == []
            await first.aclose()
            await second.aclose()

        asyncio.run(work())
        assert (proxy.connections, server.connections) == (0, 2)
    assert "HTTP_PROXY" in os.environ


@pytest.mark.parametrize("status", ["301 x", "302 x", "307 x", "308 x"])
def test_a_redirect_is_not_followed(tmp_path: Path, status: str) -> None:
    with Listener(reply(b"{}")) as target:
        with Listener(reply(b"", status, f"Location: http://{target.host}/v1/predictions")) as server:
            call = alignment(tmp_path)
            failure(replicate(f"http://{server.host}"), lambda provider: provider.submit(CLIP))
            failure(replicate(f"http://{server.host}"), lambda provider: provider.poll(CLIP, TaskRef("x")))
            failure(elevenlabs(f"http://{server.host}"), lambda provider: provider.submit(call))
        assert target.connections == 0


def speak(base: str, work: Callable[[httpx.AsyncClient], Awaitable[object]], *, opened_for: str) -> Any:
    """Return the response that an SDK would get if it did ``work`` with its HTTP client."""

    async def run() -> Any:
        door = exchange(opened_for)
        try:
            async with sdk_client(SdkTransport(door)) as client:
                return await send_sdk_request(work(client), paid=True)
        finally:
            await door.aclose()

    return asyncio.run(run())


def test_an_sdk_cannot_speak_to_another_host_scheme_or_port() -> None:
    with Listener(reply(b"inner")) as inner, Listener(reply(b"{}")) as server:
        for url in (f"http://{inner.host}/", f"https://{server.host}/", "http://169.254.169.254/", "http://localhost/"):
            with pytest.raises(ProviderRefused, match="unexpected request"):
                speak(url, lambda client, url=url: client.get(url), opened_for=f"http://{server.host}")  # type: ignore[misc]
        assert (inner.connections, server.connections) == (0, 0)


def test_an_sdk_that_retries_by_itself_sends_only_one_request() -> None:
    async def twice(client: httpx.AsyncClient) -> None:
        for _ in range(2):
            await client.post(f"http://{server.host}/", json={"n": 1})

    with Listener(reply(b'{"ok": true}')) as server:
        answer = speak("", twice, opened_for=f"http://{server.host}")
        assert answer.json() == {"ok": True}
        assert len(server.requests) == 1


def test_requests_that_an_sdk_makes_by_itself_are_not_sent() -> None:
    async def run(base: str) -> None:
        door = exchange(base)
        async with sdk_client(SdkTransport(door)) as client:
            with pytest.raises(ProviderRefused):
                await client.get(base)
        await door.aclose()

    with Listener(reply(b"{}")) as server:
        asyncio.run(run(f"http://{server.host}"))
        assert server.connections == 0


def test_an_sdk_that_fails_before_sending_is_reported_as_not_sent() -> None:
    async def broken(client: httpx.AsyncClient) -> None:
        raise ValueError("secret words")

    async def silent(client: httpx.AsyncClient) -> None:
        """Send no request."""

    for work in (broken, silent):
        with pytest.raises(ProviderRefused) as caught:
            speak("", work, opened_for="http://127.0.0.1:1")
        assert "secret words" not in str(caught.value)


def test_an_error_of_the_sdk_after_the_response_does_not_matter() -> None:
    async def confused(client: httpx.AsyncClient) -> None:
        raise KeyError((await client.get(f"http://{server.host}/")).json()["nothing"])

    with Listener(reply(b'{"status": "aborted"}')) as server:
        assert speak("", confused, opened_for=f"http://{server.host}").json() == {"status": "aborted"}


def test_only_content_headers_of_an_sdk_are_sent() -> None:
    async def chatty(client: httpx.AsyncClient) -> None:
        headers = {
            "authorization": "Bearer of-the-sdk",
            "x-sdk-platform": "linux",
            "cookie": "a=b",
            "host": "evil.example",
        }
        await client.post(f"http://{server.host}/", json={"n": 1}, headers=headers)

    with Listener(reply(b"{}")) as server:
        speak("", chatty, opened_for=f"http://{server.host}")
        head, host = server.requests[0].split(b"\r\n\r\n")[0].decode().lower(), server.host
    names = {line.partition(":")[0] for line in head.split("\r\n")[1:]}
    assert names - {"connection"} == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "x-key",
        "content-type",
        "content-length",
    }
    assert f"host: {host}" in head
    assert "of-the-sdk" not in head


def test_an_answer_of_many_gigabytes_is_cut_off() -> None:
    def flood(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(400):
            connection.sendall(b"x" * 65536)

    with Listener(flood) as server:
        error = failure(replicate(f"http://{server.host}"), lambda provider: provider.poll(CLIP, TaskRef("x")))
    assert isinstance(error, ProviderUnavailable)
