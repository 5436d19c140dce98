"""One request to a vendor and its answer. Never repeated, no redirects, and every fault has its verdict.

What matters is whether a vendor can have got a request that costs money. The moment at which its first byte
goes out is noted by the connection itself: a fault before it certainly cost nothing, whatever its name.
"""

from __future__ import annotations

import asyncio
import itertools
import json as json_
import ssl
import zlib
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from providers.http.guard import check_url
from providers.http.policy import Policy
from providers.http.scrub import vendor_message
from providers.http.sending import check_may_send
from providers.http.transport import AsyncGuardedTransport
from providers.http.verdicts import error_for_status, retry_after
from schemas.errors import (
    AddressForbidden,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderNotConfigured,
    ProviderOutcomeUnknown,
    ProviderUnavailable,
)

MIB = 1024**2
_HEADERS = {"user-agent": "Telecine", "accept": "application/json", "accept-encoding": "identity"}
#: Pools of connections that questions take in turn, and connections that each keeps.
_POOLS = 8
_IDLE_CONNECTIONS = 8
_FIRST_BYTE = ".send_request_headers.started"

#: One part of a multipart form: a text, or a file's name, content and type.
Part = str | tuple[str, bytes, str]


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body that somebody else has written: a vendor's SDK. The headers say what it is and how long."""

    content: AsyncIterable[bytes]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor answered. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: Who answered, and whether to a request that costs money: what cannot be read then is a different error.
    vendor: str = "the provider"
    paid: bool = False

    def json(self) -> Any:
        """The body, parsed.

        Raises:
            ProviderOutcomeUnknown: it is no JSON, and the request was a paid one that may have been accepted.
            ProviderAnswerInvalid: it is no JSON.
        """
        try:
            return json_.loads(self.body)
        except (ValueError, RecursionError):
            raise self.unreadable("an answer that is no JSON") from None

    def json_or_none(self) -> Any:
        """The body, parsed; ``None`` where it is empty or no JSON."""
        try:
            return json_.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def unreadable(self, what: str) -> ProviderError:
        """The error for an answer of a success status that cannot be made use of."""
        if self.paid:
            return ProviderOutcomeUnknown(f"{self.vendor} took the call and gave {what}; the task has no known id.")
        return ProviderAnswerInvalid(f"{self.vendor} gave {what} (HTTP {self.status}, {len(self.body)} bytes).")


#: Looks at an answer of status 400 and above first; ``None`` leaves it to the table in ``verdicts``.
Refine = Callable[[Answer], ProviderError | None]


@dataclass(slots=True)
class _Progress:
    """How far an exchange came; it outlives a fault."""

    paid: bool
    sent: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Hears of every stage of the connection; what it raises just before the first byte keeps that back."""
        if name.endswith(_FIRST_BYTE):
            if self.paid:
                check_may_send()
            self.sent = True


class Exchange:
    """The door to one vendor's API. For one event loop; any number of exchanges at once.

    Args:
        base_url: without a slash at its end.
        headers: sent to the base URL's host alone. Their values are taken for secrets.
        key_setting: the variable that errors name when the vendor does not accept the key.
        timeout_seconds: for a whole exchange.
        limit_bytes: of the answer's body.

    Raises:
        ProviderNotConfigured: the base URL may not be called, or the key cannot stand in a header.
    """

    def __init__(
        self,
        base_url: str,
        policy: Policy,
        headers: Mapping[str, str],
        *,
        vendor: str,
        key_setting: str,
        timeout_seconds: float = 30.0,
        limit_bytes: int = 4 * MIB,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._vendor, self._key_setting = vendor, key_setting
        try:
            self._base = str(check_url(base_url, policy)).rstrip("/")
        except AddressForbidden as error:
            raise ProviderNotConfigured(f"{vendor}: {error.message}") from None
        if not all(
            value and value.isascii() and value.isprintable() and value == value.strip() for value in headers.values()
        ):
            raise ProviderNotConfigured(f"{key_setting} is empty, or has a space, a line break or a letter of no key.")
        self._headers = dict(headers)
        self._secrets = [part for value in headers.values() for part in (value, *value.split()[1:])]
        self._timeout_seconds, self._limit_bytes = timeout_seconds, limit_bytes

        def client(idle: int) -> httpx2.AsyncClient:
            transport = AsyncGuardedTransport(policy, tls=tls, idle_connections=idle)
            return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=timeout_seconds)

        # A connection kept from before may be closed by the vendor just as the request goes out, and then nobody
        # knows whether it arrived. A paid request gets a connection of its own.
        self._paying = client(0)
        # Questions share theirs. What a pool spends on each request grows with its connections, so that small
        # ones taken in turn cost a third less than one large pool.
        self._pools = [client(_IDLE_CONNECTIONS) for _ in range(_POOLS)]
        self._asking = itertools.cycle(self._pools)

    @property
    def base_url(self) -> str:
        """Where paths lead, without a slash at its end."""
        return self._base

    @property
    def vendor(self) -> str:
        """The vendor's name, as errors tell it."""
        return self._vendor

    @property
    def secrets(self) -> list[str]:
        """What must stand in no error: for ``scrubbed``, with texts that come inside a success."""
        return self._secrets

    async def send(
        self,
        method: str,
        path_or_url: str,
        *,
        json: Any = None,
        parts: Mapping[str, Part] | None = None,
        body: Body | None = None,
        paid: bool,
        refine: Refine | None = None,
    ) -> Answer:
        """The answer, when its status is 2xx. One request goes out, or none.

        Args:
            path_or_url: a path below the base URL, or a whole URL; a URL of another host gets no headers of ours.
            paid: whether the vendor charges for it once accepted.

        Raises:
            ProviderOutcomeUnknown: a paid request may have arrived.
            ProviderError: of the kind that ``verdicts`` gives the status, or ``ProviderUnavailable``.
        """
        whole = path_or_url.startswith(("https://", "http://"))
        url = path_or_url if whole else f"{self._base}/{path_or_url.lstrip('/')}"
        progress = _Progress(paid)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(method, url, json, parts, body, paid, progress)
        except AddressForbidden as error:
            raise ProviderNotConfigured(f"{self._vendor}: {error.message}") from None
        except (TimeoutError, httpx2.TransportError, httpx2.DecodingError, ssl.SSLError, zlib.error) as error:
            # An error status that arrived is the answer, whatever became of the body after it.
            if progress.status is None or progress.status < 400:
                raise self._broken(error, paid, progress) from None
        return self._judged(progress, paid, refine)

    async def aclose(self) -> None:
        """Closes the connections."""
        for client in (self._paying, *self._pools):
            await client.aclose()

    async def _exchange(
        self, method: str, url: str, json: Any, parts: Mapping[str, Part] | None, body: Body | None, paid: bool,
        progress: _Progress,
    ) -> None:  # fmt: skip
        client = self._paying if paid else next(self._asking)
        files = {name: (None, part) if isinstance(part, str) else part for name, part in (parts or {}).items()}
        ours = self._headers if httpx2.URL(url).netloc == httpx2.URL(self._base).netloc else {}
        request = client.build_request(
            method, url, headers={**(body.headers if body else {}), **_HEADERS, **ours}, json=json,
            files=files or None, content=body.content if body else None, extensions={"trace": progress.trace},
        )  # fmt: skip
        response = await client.send(request, stream=True)
        try:
            progress.status, progress.headers = response.status_code, dict(response.headers)
            unpack = _unpacker(progress.headers.get("content-encoding", ""))
            async for part in response.aiter_raw():
                progress.body += unpack(part, self._limit_bytes + 1 - len(progress.body))
                if len(progress.body) > self._limit_bytes:
                    raise httpx2.DecodingError(f"more than {self._limit_bytes:,} bytes")
        finally:
            await response.aclose()

    def _judged(self, progress: _Progress, paid: bool, refine: Refine | None) -> Answer:
        assert progress.status is not None
        answer = Answer(progress.status, progress.headers, bytes(progress.body), self._vendor, paid)
        if 200 <= answer.status < 300:
            return answer
        refined = refine(answer) if refine is not None and answer.status >= 400 else None
        raise refined or error_for_status(
            answer.status,
            self.message(answer),
            vendor=self._vendor,
            key_setting=self._key_setting,
            paid=paid,
            retry_after_seconds=retry_after(answer.headers),
        )

    def message(self, answer: Answer) -> str:
        """The vendor's own words in an answer, scrubbed."""
        return vendor_message(answer.body, answer.headers.get("content-type", ""), self._secrets)

    def _broken(self, error: Exception, paid: bool, progress: _Progress) -> ProviderError:
        # The library's words may hold what the vendor sent; its name for the fault is enough.
        slow = isinstance(error, TimeoutError | httpx2.TimeoutException)
        name = type(error).__name__
        fault = f"no answer within {self._timeout_seconds:g} seconds" if slow else f"the line broke ({name})"
        if not progress.sent:
            return ProviderUnavailable(f"{self._vendor} could not be reached: {fault}. Nothing was sent.")
        if paid:
            return ProviderOutcomeUnknown(f"{self._vendor}: {fault} after the call was sent. It may have arrived.")
        return ProviderUnavailable(f"{self._vendor} did not answer: {fault}.")


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Unpacks a body by pieces, never past the size given. We ask for none packed; some servers pack all."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda part, most: part
    if name not in ("gzip", "deflate"):
        raise httpx2.DecodingError("an unknown content encoding")
    inflate = zlib.decompressobj(47 if name == "gzip" else 15)
    return lambda part, most: inflate.decompress(part, most)
