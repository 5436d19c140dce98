"""Send one request to a provider and return its response: no retries, no redirects, a ``ProviderError`` on failure.

The error depends on whether the provider may have received a request that costs money. The connection records when its
first byte is sent: a failure before that certainly cost nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import zlib
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from providers.http.guard import check_url
from providers.http.policy import Policy
from providers.http.response import ProviderResponse, Refine
from providers.http.response_head import status_listener
from providers.http.retry_after import parse_retry_after
from providers.http.scrub import provider_message
from providers.http.send_guard import check_may_send
from providers.http.transport import AsyncGuardedTransport
from providers.http.verdicts import error_for_status
from schemas.errors import (
    AddressForbidden,
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderUnavailable,
)

MIB = 1024**2
_HEADERS = {"user-agent": "Telecine", "accept": "application/json", "accept-encoding": "identity"}
#: Number of connection pools for free requests, used in turn, and of idle connections that each keeps.
_POOLS = 8
_IDLE_CONNECTIONS = 8
_FIRST_BYTE = ".send_request_headers.started"

#: One part of a multipart form: text, or a file as (name, content, content type).
FormPart = str | tuple[str, bytes, str]


@dataclass(frozen=True, slots=True)
class Body:
    """A request body written by a provider's SDK, with the headers that give its type and length."""

    content: AsyncIterable[bytes]
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Progress:
    """What has been sent and received so far; read after a failure."""

    paid: bool
    sent: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    def note_status(self, status: int) -> None:
        """Record the status before the headers are parsed: an error status counts even if they cannot be."""
        self.status = status

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Trace callback of the connection. An error raised before the first byte prevents the request."""
        if name.endswith(_FIRST_BYTE):
            if self.paid:
                check_may_send()
            self.sent = True


class Exchange:
    """The HTTP connection to one provider's API. For one event loop; requests may run concurrently.

    Args:
        base_url: without a trailing slash.
        policy: what may be called.
        headers: sent to the base URL's host only. Their values are treated as secrets.
        provider: the provider's name, for errors.
        key_setting: the variable that errors name when the provider rejects the key.
        timeout_seconds: for a whole exchange.
        limit_bytes: maximum size of a response's body.
        tls: trusted authorities; the system's by default.

    Raises:
        ProviderNotConfigured: the base URL may not be called, or the key is not valid in a header.
    """

    def __init__(
        self,
        base_url: str,
        policy: Policy,
        headers: Mapping[str, str],
        *,
        provider: str,
        key_setting: str,
        timeout_seconds: float = 30.0,
        limit_bytes: int = 4 * MIB,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._provider, self._key_setting = provider, key_setting
        try:
            checked = check_url(base_url, policy)
        except AddressForbidden as error:
            raise ProviderNotConfigured(f"{provider}: {error.message}") from None
        self._base, self._netloc = str(checked).rstrip("/"), checked.netloc
        if not all(
            value and value.isascii() and value.isprintable() and value == value.strip() for value in headers.values()
        ):
            raise ProviderNotConfigured(
                f"{key_setting} is empty, or contains a space, a line break or a character that no key has."
            )
        self._headers = dict(headers)
        self._secrets = [part for value in headers.values() for part in (value, *value.split()[1:])]
        self._timeout_seconds, self._limit_bytes = timeout_seconds, limit_bytes

        # The provider may close an idle connection just when a request is sent, and then it is unknown whether the
        # request arrived. A paid request therefore gets a new connection.
        self._paying = AsyncGuardedTransport(policy, tls=tls)
        # Free requests reuse connections. A pool's cost per request grows with its connections: small pools used in
        # turn cost a third less than a large one.
        pools = [AsyncGuardedTransport(policy, tls=tls, idle_connections=_IDLE_CONNECTIONS) for _ in range(_POOLS)]
        self._asking, self._transports = itertools.cycle(pools), [self._paying, *pools]
        # It only builds requests: redirects, cookies and authentication would cost time and are not wanted.
        self._client = httpx2.AsyncClient(transport=self._paying, trust_env=False, timeout=timeout_seconds)

    @property
    def base_url(self) -> str:
        """The API's URL, without a trailing slash."""
        return self._base

    @property
    def provider(self) -> str:
        """The provider's name, for errors."""
        return self._provider

    @property
    def secrets(self) -> list[str]:
        """The secrets in the headers; pass them to ``scrubbed`` with any text of the provider."""
        return self._secrets

    async def send(
        self,
        method: str,
        path_or_url: str,
        *,
        json: Any = None,
        parts: Mapping[str, FormPart] | None = None,
        body: Body | None = None,
        paid: bool,
        refine: Refine | None = None,
    ) -> ProviderResponse:
        """Send at most one request and return its response if the status is 2xx.

        Args:
            method: the HTTP method.
            path_or_url: a path below the base URL, or a full URL; another host is not sent our headers.
            json: JSON body.
            parts: multipart form.
            body: body written by an SDK.
            paid: whether the provider charges for the request once it is accepted.
            refine: maps an error response to a more precise error.

        Raises:
            ProviderOutcomeUnknown: a paid request may have arrived.
            ProviderUnavailable: there was no response, and the request cost nothing.
            ProviderError: the response has an error status, see ``verdicts``.
        """
        whole = path_or_url.startswith(("https://", "http://"))
        url = httpx2.URL(path_or_url if whole else f"{self._base}/{path_or_url.lstrip('/')}")
        progress = _Progress(paid)
        listening = status_listener.set(progress.note_status)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                request = self._request(method, url, json=json, parts=parts, body=body, trace=progress.trace)
                transport = self._paying if paid else next(self._asking)
                await self._receive(await transport.handle_async_request(request), progress)
        except AddressForbidden as error:
            raise ProviderNotConfigured(f"{self._provider}: {error.message}") from None
        except (TimeoutError, httpx2.TransportError, httpx2.DecodingError, ssl.SSLError, zlib.error) as error:
            # If an error status was received, it is the result even if the rest of the response cannot be read.
            if progress.status is None or progress.status < 400:
                raise self._failure(error, paid, progress) from None
        finally:
            status_listener.reset(listening)
        return self._response_or_error(progress, paid, refine)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            await transport.aclose()

    def _request(
        self,
        method: str,
        url: httpx2.URL,
        *,
        json: Any,
        parts: Mapping[str, FormPart] | None,
        body: Body | None,
        trace: Callable[[str, Mapping[str, Any]], Awaitable[None]],
    ) -> httpx2.Request:
        files = {name: (None, part) if isinstance(part, str) else part for name, part in (parts or {}).items()}
        same_host = url.netloc == self._netloc
        return self._client.build_request(
            method,
            url,
            headers={**(body.headers if body else {}), **_HEADERS, **(self._headers if same_host else {})},
            json=json,
            files=files or None,
            content=body.content if body else None,
            extensions={"trace": trace},
        )

    async def _receive(self, response: httpx2.Response, progress: _Progress) -> None:
        try:
            progress.status, progress.headers = response.status_code, dict(response.headers)
            unpack = _unpacker(progress.headers.get("content-encoding", ""))
            async for part in response.aiter_raw():
                progress.body += unpack(part, self._limit_bytes + 1 - len(progress.body))
                if len(progress.body) > self._limit_bytes:
                    raise httpx2.DecodingError(f"more than {self._limit_bytes:,} bytes")
        finally:
            await response.aclose()

    def _response_or_error(self, progress: _Progress, paid: bool, refine: Refine | None) -> ProviderResponse:
        assert progress.status is not None
        response = ProviderResponse(progress.status, progress.headers, bytes(progress.body), self._provider, paid)
        if 200 <= response.status < 300:
            return response
        refined = refine(response) if refine is not None and response.status >= 400 else None
        raise refined or error_for_status(
            response.status,
            self.message(response),
            provider=self._provider,
            key_setting=self._key_setting,
            paid=paid,
            retry_after_seconds=parse_retry_after(response.headers.get("retry-after")),
        )

    def message(self, response: ProviderResponse) -> str:
        """Return the provider's message in a response, scrubbed."""
        return provider_message(response.body, response.headers.get("content-type", ""), self._secrets)

    def _failure(self, error: Exception, paid: bool, progress: _Progress) -> ProviderError:
        # The text of the exception may contain what the provider sent, so only its class is shown.
        slow = isinstance(error, TimeoutError | httpx2.TimeoutException)
        name = type(error).__name__
        fault = f"no response within {self._timeout_seconds:g} seconds" if slow else f"connection failed ({name})"
        if not progress.sent:
            return ProviderUnavailable(f"{self._provider} could not be reached: {fault}. Nothing was sent.")
        if paid:
            return ProviderOutcomeUnknown(f"{self._provider}: {fault} after the call was sent. It may have arrived.")
        return ProviderUnavailable(f"{self._provider} did not respond: {fault}.")


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return an incremental decompressor with a limited output size.

    We request uncompressed responses, but some servers compress them anyway.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda part, most: part
    if name not in ("gzip", "deflate"):
        raise httpx2.DecodingError("an unknown content encoding")
    inflate = zlib.decompressobj(47 if name == "gzip" else 15)
    return lambda part, most: inflate.decompress(part, most)
