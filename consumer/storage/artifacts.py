"""Putting a file that was made into storage: by a step of this worker, or by a provider."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from consumer.storage.base import ObjectFacts, Storage
from schemas.errors import InputForbidden, InputUnavailable, OutputExists, StorageUnavailable
from schemas.media import LocalFile, MediaFacts, StoredArtifact

#: Every job's last file.
MANIFEST = "manifest.json"


def check_output_free(storage: Storage, uris: Sequence[str], *, job_id: str, fingerprint: str) -> None:
    """Nothing, if the job may store its results at ``uris``: looked at before anything is paid for.

    What an earlier attempt of the job put there is in nobody's way. Where the worker may not look, storing tells.

    Raises:
        OutputExists: something else lies there.
        StorageUnavailable: tried again later.
    """
    for uri in uris:
        try:
            found = storage.head(uri)
        except InputForbidden:
            continue
        except InputUnavailable as error:
            raise StorageUnavailable(error.message) from None
        if found is not None and found.writer != (job_id, fingerprint):
            raise OutputExists(
                f"Another file already lies at {uri}. Choose another `output` or remove it.", field="output"
            )


def store_artifact(storage: Storage, file: LocalFile, uri: str, *, job_id: str, fingerprint: str) -> StoredArtifact:
    """The artifact as it lies at ``uri``: its own file, or what an earlier attempt of the job put there.

    A crash here leaves nothing, or the whole object, which the next attempt takes over.

    Raises:
        StorageError: it cannot be written there, or something else lies there already.
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
