"""Download media inputs from the web, atomically and never from the operator's own network.

A worker that crashes during a download leaves a ``.part`` file next to ``into``. It is deleted with the job's folder,
and the next attempt starts the download again.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpcore2
import httpx2

from providers.http.bounded_copy import bounded_copy
from providers.http.deadline import Deadline
from providers.http.guard import check_url
from providers.http.policy import Policy
from providers.http.redact import redact_url
from providers.http.transport import GuardedTransport
from schemas.errors import InputForbidden, InputNotFound, InputTooLarge, InputUnavailable

#: Maximum number of redirects; each target is checked like the first URL.
MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 421, 423, 425, 429})
#: No compression: a compressed body could expand to any size, and media do not shrink further.
_HEADERS = {"user-agent": "Telecine", "accept": "*/*", "accept-encoding": "identity", "connection": "close"}
_PLAIN_ENCODINGS = frozenset({"", "identity", "aws-chunked"})


@dataclass(frozen=True, slots=True)
class Download:
    """A completed download."""

    bytes: int
    #: In hexadecimal.
    sha256: str
    #: As claimed by the server.
    content_type: str | None


class GuardedClient:
    """Downloads inputs through the guard. Opens a new connection for each download.

    Args:
        policy: what may be called.
        tls: trusted authorities; the system's by default.
        connect_timeout_seconds: for lookup and connection together, and again for the TLS handshake.
        read_timeout_seconds: for each read.
        total_timeout_seconds: for a whole download, including redirects.
        dialer: opens the checked connections; replaced in tests.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        tls: ssl.SSLContext | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 30.0,
        total_timeout_seconds: float = 600.0,
        dialer: httpcore2.NetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._tls = tls
        self._timeout = httpx2.Timeout(read_timeout_seconds, connect=connect_timeout_seconds)
        self._total_timeout_seconds = total_timeout_seconds
        self._dialer = dialer

    def download(self, url: str, into: Path, limit_bytes: int) -> Download:
        """Download the URL to ``into``, which only appears when the file is complete.

        Raises:
            AddressForbidden: the URL, or a redirect's target, may not be called.
            InputNotFound: 404 or 410.
            InputForbidden: 401, 403 or another status that a retry would not change.
            InputTooLarge: more than ``limit_bytes``, by ``Content-Length`` or received.
            InputUnavailable: 429, 5xx, a timeout, a failed lookup or an incomplete body.
        """
        transport = GuardedTransport(
            self._policy, tls=self._tls, deadline=Deadline(self._total_timeout_seconds), dialer=self._dialer
        )
        client = httpx2.Client(transport=transport, trust_env=False, timeout=self._timeout, headers=_HEADERS)
        with client:
            try:
                return self._follow(client, url, into, limit_bytes)
            except (httpx2.TransportError, ssl.SSLError) as error:
                raise InputUnavailable(f"{redact_url(url)} could not be downloaded: {_words(error)}.") from error

    def _follow(self, client: httpx2.Client, url: str, into: Path, limit_bytes: int) -> Download:
        target = check_url(url, self._policy)
        for _ in range(MOST_REDIRECTS + 1):
            with client.stream("GET", target) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None:
                    _check(response, limit_bytes)
                    return _store(response, into, limit_bytes)
            target = check_url(_joined(target, location), self._policy)
        raise InputForbidden(f"{redact_url(url)} redirects more than {MOST_REDIRECTS} times. Use its final address.")


def _joined(base: httpx2.URL, location: str) -> httpx2.URL | str:
    try:
        return base.join(location)
    except (httpx2.InvalidURL, ValueError):
        return location  # not a valid URL; check_url raises the error


def _check(response: httpx2.Response, limit_bytes: int) -> None:
    """Check the status and headers before anything is written.

    Raises:
        InputError: the response does not contain the file, see ``GuardedClient.download``.
    """
    status, shown = response.status_code, redact_url(response.url)
    if status in (404, 410):
        raise InputNotFound(f"{shown} does not exist (HTTP {status}). Upload it before sending the request.")
    if status >= 500 or status in _LATER:
        raise InputUnavailable(f"{shown} could not be downloaded: HTTP {status}.")
    if status != 200:
        raise InputForbidden(f"{shown} may not be read (HTTP {status}). Grant access or use another location.")
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _PLAIN_ENCODINGS:
        raise InputForbidden(f"{shown} is stored with Content-Encoding {encoding[:20]!r}. Store the file as it is.")
    announced = response.headers.get("content-length")
    if announced is not None and int(announced) > limit_bytes:
        raise InputTooLarge(f"File too large: {shown} has more than {limit_bytes:,} bytes")
    if announced is None and "chunked" not in response.headers.get("transfer-encoding", "").lower():
        # Such a body ends with the connection, so an interrupted download would look complete.
        raise InputUnavailable(f"{shown} is sent without a length, so an incomplete file could not be detected.")


def _store(response: httpx2.Response, into: Path, limit_bytes: int) -> Download:
    too_large = f"File too large: {redact_url(response.url)} has more than {limit_bytes:,} bytes"
    handle, name = tempfile.mkstemp(prefix=f".{into.name[:40]}.", suffix=".part", dir=into.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            size, sha256 = bounded_copy(response.iter_raw(), file, limit_bytes, too_large)
        Path(name).replace(into)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Download(size, sha256, response.headers.get("content-type"))


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
