"""Storage in memory, for tests and trials. Its objects are lost when the process ends."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from consumer.storage.atomic_copy import check_size, check_unchanged, copy_whole, pin_check
from consumer.storage.base import (
    LIST_LIMIT,
    Fetched,
    ObjectFacts,
    PresignedUpload,
    StoredObject,
    in_key_order,
    locate,
    locate_folder,
    to_stored_object,
)
from schemas.errors import InputNotFound
from schemas.reference import Pin


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    content: bytes
    content_type: str
    metadata: dict[str, str]


class MemoryStorage:
    """Objects in a dictionary, with the same guarantees as the other storages."""

    has_urls = False
    small_files = None

    def __init__(self) -> None:
        """Create an empty storage."""
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._lock = threading.Lock()

    def add(self, uri: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Add an object that Telecine did not write, such as an input."""
        with self._lock:
            self._entries[locate(uri)] = _Entry(content, content_type, {})

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """Copy the object to ``into``."""
        entry = self._entries.get(locate(uri))
        if entry is None:
            raise InputNotFound(f"{uri} does not exist. Upload it before sending the request.")
        size = len(entry.content)
        check_size(size, limit_bytes)
        return copy_whole(
            [entry.content], into, limit_bytes=limit_bytes, expected_bytes=size, check=pin_check(uri, pin)
        )

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """Store the file, unless an earlier attempt of the job did."""
        name = locate(uri)
        check_unchanged(path, facts)
        entry = _Entry(path.read_bytes(), facts.content_type, facts.as_metadata())
        with self._lock:
            found = self._entries.setdefault(name, entry)
        stored = _stored(uri, found)
        if found is not entry:
            stored.check_owner(facts.job_id, facts.fingerprint)
        return stored

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """Return a ``memory://`` URL, for display: no one else can open it."""
        bucket, key = locate(uri)
        return f"memory://{bucket}/{quote(key)}"

    def upload_url(
        self, uri: str, lifetime_seconds: int, *, job_id: str, size: int, facts: Mapping[str, Any]
    ) -> PresignedUpload | None:
        """Return ``None``: no one else can write here."""
        return None

    def delete(self, prefix_uri: str) -> int:
        """Delete the objects below the folder and return their number."""
        bucket, prefix = locate_folder(prefix_uri)
        with self._lock:
            names = [name for name in self._entries if name[0] == bucket and name[1].startswith(prefix)]
            for name in names:
                del self._entries[name]
        return len(names)

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        """Return what is known about the object."""
        entry = self._entries.get(locate(uri))
        return None if entry is None else _stored(uri, entry)

    def read(self, uri: str, start: int, length: int) -> Iterator[bytes]:
        """Return a part of the object, in one piece."""
        entry = self._entries.get(locate(uri))
        if entry is None:
            raise InputNotFound(f"{uri} does not exist. Upload it before sending the request.")
        return iter([entry.content[start : start + length]])

    def list_folders(self, uri: str, after: str = "") -> list[str]:
        """Return the names of the folders directly in the folder."""
        bucket, prefix = locate_folder(uri)
        with self._lock:
            below = [key[len(prefix) :] for place, key in self._entries if place == bucket and key.startswith(prefix)]
        names = {name.partition("/")[0] for name in below if "/" in name}
        return in_key_order(names, after)[:LIST_LIMIT]

    def list_prefix(self, uri: str) -> list[str]:
        """Return the objects whose URI starts with ``uri``, in its folder only."""
        bucket, key = locate(uri)
        with self._lock:
            names = [name for place, name in self._entries if place == bucket and name.startswith(key)]
        return [f"s3://{bucket}/{name}" for name in sorted(names) if "/" not in name[len(key) :]][:LIST_LIMIT]


def _stored(uri: str, entry: _Entry) -> StoredObject:
    sha256 = hashlib.sha256(entry.content).hexdigest()
    return to_stored_object(uri, entry.metadata, len(entry.content), entry.content_type, sha256, etag=sha256)
