"""Store a made file: from a step of this worker, or from a provider."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from consumer import tracing
from consumer.storage.base import ObjectFacts, Storage
from schemas.errors import InputForbidden, InputUnavailable, StorageUnavailable
from schemas.media import LocalFile, MediaFacts, StoredArtifact

#: The last file that a job stores.
MANIFEST = "manifest.json"
MANIFEST_TYPE = "application/json"


def check_output_free(storage: Storage, uris: Sequence[str], *, job_id: str, fingerprint: str) -> None:
    """Check that the job can store its results at ``uris``, before anything is paid for.

    Objects of an earlier attempt of the job are fine. If the worker may not look, storing will find out.

    Raises:
        OutputExists: another object is already there.
        StorageUnavailable: retry later.
    """
    for uri in uris:
        try:
            found = storage.head(uri)
        except InputForbidden:
            continue
        except InputUnavailable as error:
            raise StorageUnavailable(error.message, outage=error.outage) from None
        if found is not None:
            found.check_owner(job_id, fingerprint)


def manifest_facts(content: bytes, job_id: str, fingerprint: str) -> ObjectFacts:
    """Return what is stored with a manifest."""
    return ObjectFacts(
        job_id=job_id,
        fingerprint=fingerprint,
        content_type=MANIFEST_TYPE,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
    )


def store_artifact(storage: Storage, file: LocalFile, uri: str, *, job_id: str, fingerprint: str) -> StoredArtifact:
    """Store the file at ``uri`` and return the artifact, or the one that an earlier attempt of the job stored there.

    A crash leaves nothing, or the whole object, which the next attempt adopts.

    Raises:
        StorageError: it cannot be written, or another object is already there.
    """
    with file.path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        size = content.tell()
    facts = ObjectFacts(
        job_id=job_id,
        fingerprint=fingerprint,
        content_type=file.content_type,
        sha256=sha256,
        bytes=size,
        facts=file.facts.model_dump(exclude_none=True),
    )
    with tracing.span("put", {"telecine.uri": uri, "telecine.bytes": size}):
        found = storage.put(file.path, uri, facts)
    return StoredArtifact(
        name=file.name,
        content_type=file.content_type,
        facts=MediaFacts.model_validate(found.facts),
        uri=found.uri,
        sha256=found.sha256,
        bytes=found.bytes,
        details=file.details,
        inline=file.inline,
    )
