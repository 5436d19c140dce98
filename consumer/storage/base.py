"""The storage interface: whole objects named ``s3://bucket/key``, and the metadata that says which job stored them.

The first writer of a key wins, and nothing is ever overwritten. So a worker that has lost its lease without knowing it
does no harm: its write is either answered with the object that its job stored before, or refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from schemas.errors import InputReplaced, InvalidField, OutputExists
from schemas.reference import Pin, split_s3

#: S3 allows 2 KB of user metadata in all; this is what remains for the facts after ids and digests.
FACTS_BYTES = 1_400
#: ``list_prefix`` returns at most this many objects.
LIST_LIMIT = 1_000
#: The tag of every object that Telecine wrote, for servers that support tags. S3 triggers ignore objects that have it.
TAG = "telecine=1"

#: The keys of the user metadata.
_JOB = "telecine-job"
_FINGERPRINT = "telecine-fingerprint"
_SHA256 = "telecine-sha256"
_FACTS = "telecine-facts"

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
#: Printable ASCII without spaces at the ends, because it is sent in an HTTP header.
_Header = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=256)]


class Fetched(BaseModel):
    """A file that was completely copied to this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Size in bytes.
    bytes: int
    sha256: _Sha256


class ObjectFacts(BaseModel):
    """What is stored with an object: which job it belongs to and what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: The job that stores the object.
    job_id: _Header
    #: The fingerprint of the job's request: another request under the same id is another owner.
    fingerprint: _Header
    content_type: _Header
    sha256: _Sha256
    #: Size in bytes.
    bytes: Annotated[int, Field(ge=0)]
    #: Media facts, such as ``width``; at most ``FACTS_BYTES`` as JSON, because object stores keep them in a header.
    facts: dict[str, Any] = {}

    @field_validator("facts")
    @classmethod
    def _fits_into_a_header(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value, separators=(",", ":"))) > FACTS_BYTES:
            raise ValueError(f"takes more than {FACTS_BYTES} bytes as JSON")
        return value

    def as_metadata(self) -> dict[str, str]:
        """Return the user metadata of the object: four short ASCII strings."""
        # Some servers fold a run of spaces in a header, which breaks their signature check. Compact JSON has spaces
        # only in its strings, so each one can be escaped.
        facts = json.dumps(self.facts, separators=(",", ":"), sort_keys=True).replace(" ", "\\u0020")
        return {_JOB: self.job_id, _FINGERPRINT: self.fingerprint, _SHA256: self.sha256, _FACTS: facts}


class StoredObject(BaseModel):
    """An object that is completely in storage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    #: ``None`` for an object that Telecine did not write and whose bytes were not read.
    sha256: str | None
    #: Size in bytes.
    bytes: int
    content_type: str
    #: Media facts from the object's metadata; empty if Telecine did not write it.
    facts: dict[str, Any] = {}
    #: Whether Telecine wrote it: this job or any other, this installation or another.
    written_by_telecine: bool = False
    #: The job id and request fingerprint from its metadata; only this job may use the object as its own result.
    owner: tuple[str, str] | None = None
    #: Changes with the content. The storage chooses the digest; ``None`` where it has none.
    etag: str | None = None
    #: The version id, in a bucket that keeps versions.
    version: str | None = None

    @property
    def pin(self) -> Pin:
        """What to pass to ``fetch`` to read exactly this content."""
        return Pin(self.version, self.etag)

    def check_owner(self, job_id: str, fingerprint: str) -> None:
        """Check that an earlier attempt of this job stored the object.

        Raises:
            OutputExists: another job, another request or another program wrote it.
        """
        if self.owner != (job_id, fingerprint):
            raise OutputExists(
                f"Another file is already at {self.uri}. Choose another `output` or delete it.", field="output"
            )


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A secret URL that accepts one object for a limited time."""

    url: str
    #: What the client has to send with it.
    headers: Mapping[str, str]


class SmallFiles(Protocol):
    """Files of a few kilobytes that a power cut may lose until ``flush`` returns; the ledger keeps them until then."""

    def put(self, content: bytes, uri: str, facts: ObjectFacts) -> bytes | None:
        """Store the content and return it, or that which an earlier attempt of the job stored there.

        A killed process leaves nothing, or the whole object. ``None`` if this file system cannot do it: use
        ``Storage.put``.

        Raises:
            OutputExists, StorageUnavailable: see ``Storage.put``.
        """
        ...

    def is_whole(self, content: bytes, uri: str, facts: ObjectFacts) -> bool:
        """Return whether the object is there with exactly this content and these facts."""
        ...

    def restore(self, content: bytes, uri: str, facts: ObjectFacts) -> None:
        """Store the content again, in a new file, in place of a missing or damaged object; wait for its content.

        Raises:
            OutputExists, StorageUnavailable: see ``Storage.put``; also if the whole storage is missing.
        """
        ...

    def flush(self, uris: Sequence[str]) -> None:
        """Wait until the objects are on the disk. Those that were deleted are left out."""
        ...


class Storage(Protocol):
    """Whole, immutable objects by name. Safe to use from several threads."""

    #: Whether ``url`` returns URLs that a provider can read.
    has_urls: bool

    @property
    def small_files(self) -> SmallFiles | None:
        """What writes small files without waiting for the disk; ``None`` where that saves nothing."""
        ...

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """Copy the object to the file ``into``; with ``pin``, only if it still has that content.

        A crash leaves no file of that name.

        Raises:
            InputNotFound, InputForbidden, InputTooLarge: the request has to change.
            InputReplaced: the pinned content was replaced, in a bucket that keeps no versions.
            InputUnavailable, ChecksumMismatch: retry later.
        """
        ...

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """Store the file at ``path`` as ``uri``, or return the object that an earlier attempt of the job stored there.

        A crash leaves either nothing or the whole object, which the next attempt adopts.

        Raises:
            OutputExists: another object is already there; it stays as it is.
            OutputForbidden: the location may not be written.
            StorageUnavailable, ChecksumMismatch: retry later.
        """
        ...

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """Return a URL that anyone can read the object with for a limited time. It is a secret.

        A pin with a version yields the URL of that version; an ETag cannot be part of a URL.
        """
        ...

    def upload_url(
        self, uri: str, lifetime_seconds: int, *, job_id: str, size: int, facts: Mapping[str, Any]
    ) -> PresignedUpload | None:
        """Return where a client can PUT one object of ``size`` bytes by itself; ``None`` where it cannot."""
        ...

    def delete(self, prefix_uri: str) -> int:
        """Delete the objects below the folder ``prefix_uri`` and return their number. A crash leaves some of them."""
        ...

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        """Return what is known about the object, or ``None`` if it does not exist.

        ``version`` asks for that version of it. A storage that keeps no versions ignores it.
        """
        ...

    def read(self, uri: str, start: int, length: int) -> Iterator[bytes]:
        """Return ``length`` bytes of the object from the byte ``start``, in pieces. The object is opened at once.

        Raises:
            InputNotFound, InputForbidden: there is nothing to read.
            InputUnavailable: retry later.
        """
        ...

    def list_folders(self, uri: str, after: str = "") -> list[str]:
        """Return the names of the folders directly in the folder ``uri``, in the order of their keys.

        At most ``LIST_LIMIT``; to continue, pass the last one as ``after``.
        """
        ...

    def list_prefix(self, uri: str) -> list[str]:
        """Return the objects whose URI starts with ``uri``, in its folder only, sorted; at most ``LIST_LIMIT``.

        Raises:
            InputError: the folder may not be listed, or the storage does not respond.
        """
        ...


def to_stored_object(
    uri: str,
    metadata: Mapping[str, str],
    size: int,
    content_type: str,
    sha256: str | None,
    *,
    etag: str | None,
    version: str | None = None,
) -> StoredObject:
    """Return the record of the object at ``uri``; metadata that Telecine did not write is ignored."""
    owned = {_JOB, _FINGERPRINT, _SHA256} <= metadata.keys()
    return StoredObject(
        uri=uri,
        sha256=sha256 or stored_sha256(metadata),
        bytes=size,
        content_type=content_type,
        facts=_facts_in(metadata),
        written_by_telecine=_JOB in metadata,
        owner=(metadata[_JOB], metadata[_FINGERPRINT]) if owned else None,
        etag=etag,
        version=version,
    )


def in_key_order(names: Iterable[str], after: str) -> list[str]:
    """Return the folder names behind ``after``, in the order of keys: ``a.b/`` comes before ``a/``."""
    return sorted((name for name in names if f"{name}/" > f"{after}/" or not after), key=lambda name: f"{name}/")


def upload_metadata(job_id: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of an object that a client writes by itself: its content is not known."""
    return {_JOB: job_id, _FACTS: json.dumps(facts, separators=(",", ":"))}


def stored_sha256(metadata: Mapping[str, str]) -> str | None:
    """Return the SHA-256 that Telecine stored with an object, or ``None``."""
    return metadata.get(_SHA256)


def _facts_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(_FACTS, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def locate(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``uri``.

    Raises:
        InvalidField: it is not ``s3://bucket/key``.
    """
    try:
        return split_s3(uri)
    except ValueError as error:
        raise InvalidField(f"the storage location {error}") from None


def locate_folder(prefix_uri: str) -> tuple[str, str]:
    """Return bucket and prefix of a folder. The prefix ends with a slash, so ``job-1`` does not match ``job-10``."""
    bucket, key = locate(prefix_uri)
    return bucket, key if key.endswith("/") else key + "/"


def input_replaced(uri: str, pin: Pin) -> InputReplaced:
    """Return the error for pinned content that no longer exists."""
    return InputReplaced(
        f"{uri} was replaced while its job waited: the job refers to {pin.label}, and the bucket keeps no versions. "
        "The newer object has an event of its own."
    )
