"""The files that requests refer to, by ``s3://``, ``http(s)://`` or ``file://``. No other module reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumer import tracing
from consumer.storage.base import Fetched, Storage
from consumer.storage.local_files import fetch_file
from providers.http.downloads import GuardedClient
from providers.http.redact import redact_url
from schemas.errors import InputForbidden
from schemas.reference import Pin, has_url, scheme_of


@dataclass(frozen=True, slots=True)
class References:
    """Reads what a reference names, in this installation."""

    storage: Storage
    http: Callable[[], GuardedClient]
    #: The folders that ``file://`` references may name; none outside embedded mode.
    input_folders: Sequence[Path]

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """Copy the file to ``into``; with ``pin``, only if an object still has that content.

        Raises:
            InputError: It is missing, replaced, forbidden or too large.
            AddressForbidden: It is at an address that Telecine may not call.
        """
        with tracing.span("get", {"telecine.uri": shown(uri)}):
            return self._fetch(uri, into, limit_bytes, pin)

    def _fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None) -> Fetched:
        if has_url(uri):
            loaded = self.http().download(uri, into, limit_bytes)
            return Fetched(bytes=loaded.bytes, sha256=loaded.sha256)
        if scheme_of(uri) == "s3":
            return self.storage.fetch(uri, into, limit_bytes, pin)
        if not self.input_folders:
            raise InputForbidden("file:// inputs exist in embedded mode only; use s3:// or https://")
        return fetch_file(uri, into, limit_bytes, self.input_folders)

    def has_url(self, uri: str) -> bool:
        """Return whether a provider can read the file by URL. Otherwise only this machine can."""
        return self.storage.has_urls if scheme_of(uri) == "s3" else has_url(uri)

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """Return a URL of the file. It is ``file://`` where only this machine can read the file."""
        return self.storage.url(uri, lifetime_seconds, pin) if scheme_of(uri) == "s3" else uri


def shown(uri: str) -> str:
    """Return the reference for a message, without the secrets of a URL."""
    return redact_url(uri) if has_url(uri) else uri
