"""What storage is: six verbs on ``s3://bucket/key`` names, and the records they take and give.

The first writer of a key wins and nothing is ever overwritten. So a worker that lost its lease but
does not know it yet can do no harm: it either adopts what is there or is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from schemas.errors import InputReplaced, InvalidField
from schemas.reference import Pin, split_s3

#: S3 allows 2 KB of user metadata in all; what is left after ids and digests is for the facts.
FACTS_BYTES = 1_400
#: How many neighbours of an object are looked at.
LIST_LIMIT = 1_000

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
#: Printable ASCII without spaces at the ends, because it travels in an HTTP header.
_Header = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=256)]


class Fetched(BaseModel):
    """One file that lies whole on this machine now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: _Sha256


class ObjectFacts(BaseModel):
    """What is written down beside an object: whose it is and what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: _Header
    #: The request's fingerprint: a second request under the same id is another owner.
    fingerprint: _Header
    content_type: _Header
    sha256: _Sha256
    bytes: Annotated[int, Field(ge=0)]
    #: Media facts; small, because object stores keep them in a header.
    facts: dict[str, Any] = {}

    @field_validator("facts")
    @classmethod
    def _fits_into_a_header(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value, separators=(",", ":"))) > FACTS_BYTES:
            raise ValueError(f"takes more than {FACTS_BYTES} bytes as JSON")
        return value


class StoredObject(BaseModel):
    """One object that is in storage, whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    #: ``None`` for an object that Telecine did not write and whose bytes nobody has read.
    sha256: str | None
    bytes: int
    content_type: str
    facts: dict[str, Any] = {}
    #: True if an earlier attempt of the same job had written it already.
    adopted: bool = False
    #: True if Telecine wrote it, this job or any other, here or elsewhere.
    own: bool = False
    #: The job and the request's fingerprint that wrote it, by its marks: the only ones that take it over.
    writer: tuple[str, str] | None = None
    #: Changes with the content; the storage's own choice of digest. ``None`` where there is none.
    etag: str | None = None
    #: The version, in a bucket that keeps versions.
    version: str | None = None

    @property
    def pin(self) -> Pin:
        """What to give to ``fetch`` to read this content and no other."""
        return Pin(self.version, self.etag)


class Storage(Protocol):
    """Whole objects under names that do not change. Safe to use from several threads."""

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """The object, copied to the file ``into``: with ``pin``, that content of it and no other.

        A crash here leaves no file of that name.

        Raises:
            InputNotFound, InputForbidden, InputTooLarge: the request has to change.
            InputReplaced: the pinned content was replaced, in a place that keeps no versions.
            InputUnavailable, ChecksumMismatch: tried again later.
        """
        ...

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """The object at ``uri``: the file at ``path``, or what an earlier attempt of this job put there.

        A crash here leaves either nothing or the whole object, which the next attempt adopts.

        Raises:
            OutputExists: something else lies there; it is left as it is.
            OutputForbidden: the location may not be written.
            StorageUnavailable, ChecksumMismatch: tried again later.
        """
        ...

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """A URL that anyone may read the object with, for a limited time. It is a secret.

        With a pin that has a version it is that version's. An ETag cannot be part of a URL.
        """
        ...

    def delete(self, prefix_uri: str) -> int:
        """How many objects below the folder ``prefix_uri`` were deleted. A crash here leaves some of them."""
        ...

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        """What is known about the object, or ``None`` if there is none.

        With ``version``, about that version of it; a place that keeps no versions answers as without.
        """
        ...

    def list_prefix(self, uri: str) -> list[str]:
        """The objects in the folder of ``uri`` whose names begin like it, sorted; at most a thousand.

        Raises:
            InputError: the folder may not be listed, or the storage does not answer just now.
        """
        ...


def locate(uri: str) -> tuple[str, str]:
    """Bucket and key of ``uri``.

    Raises:
        InvalidField: it is not ``s3://bucket/key``.
    """
    try:
        return split_s3(uri)
    except ValueError as error:
        raise InvalidField(f"the storage location {error}") from None


def replaced(uri: str, pin: Pin) -> InputReplaced:
    """The refusal of content that is no longer there."""
    return InputReplaced(
        f"{uri} was replaced while its job waited: the job is about {pin.label}, and the bucket keeps no versions. "
        "The newer object has an event of its own."
    )


def locate_folder(prefix_uri: str) -> tuple[str, str]:
    """Bucket and prefix of a folder, the prefix with its final slash: ``job-1`` is no prefix of ``job-10``."""
    bucket, key = locate(prefix_uri)
    return bucket, key if key.endswith("/") else key + "/"
