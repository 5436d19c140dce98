"""Check that a bucket gives the guarantees that Telecine relies on, for ``telecine doctor``."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from pathlib import Path

from consumer.storage.base import ObjectFacts, Storage
from schemas.errors import ConfigurationError, OutputExists

_CONTENT = b"Telecine checks whether this bucket honours conditional writes. This object may be deleted.\n"


def probe(storage: Storage, bucket: str) -> None:
    """Write a small object twice, expect the second write to be refused, and delete it.

    A crash leaves one object below ``.telecine-probe/``.

    Raises:
        ConfigurationError: the second write succeeded, or the bytes changed.
        TelecineError: the bucket cannot be written, read or deleted from at all.
    """
    folder = f"s3://{bucket}/.telecine-probe/{uuid.uuid4().hex}/"
    uri = folder + "probe.txt"
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "probe.txt")
        path.write_bytes(_CONTENT)
        try:
            storage.put(path, uri, _facts("probe-1"))
            _expect_refusal(storage, path, uri)
            if storage.fetch(uri, Path(scratch, "back.txt"), len(_CONTENT)).sha256 != _facts("probe-1").sha256:
                raise ConfigurationError(f"The bucket {bucket} returned other bytes than were written.")
        finally:
            storage.delete(folder)


def _expect_refusal(storage: Storage, path: Path, uri: str) -> None:
    try:
        storage.put(path, uri, _facts("probe-2"))
    except OutputExists:
        return
    raise ConfigurationError(
        "The storage server ignores `If-None-Match: *`: a second write replaced the first one. Results could be"
        " overwritten. Use a server that honours conditional writes."
    )


def _facts(job_id: str) -> ObjectFacts:
    sha256 = hashlib.sha256(_CONTENT).hexdigest()
    return ObjectFacts(
        job_id=job_id, fingerprint="probe", content_type="text/plain", sha256=sha256, bytes=len(_CONTENT)
    )
