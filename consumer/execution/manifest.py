"""Write ``manifest.json``, the last object of a job: once it exists, every object that it names exists."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from consumer.execution.context import JobContext
from consumer.ledger import steps
from consumer.ledger.leases import Claim
from consumer.ledger.manifests import UnflushedManifest
from consumer.ledger.provenance import Provenance
from consumer.runtime import Runtime
from consumer.storage.artifacts import MANIFEST, MANIFEST_TYPE
from consumer.storage.scratch import LazyFolder
from schemas.errors import StorageUnavailable
from schemas.manifest import Manifest, ManifestArtifact, ManifestStep
from schemas.media import LocalFile, StoredArtifact

#: Facts that are fields of the manifest, not details.
_FIELDS = frozenset(("model", "version", "model_version", "seed", "prompt"))
#: The version of a provider's model if the provider does not report one.
_UNKNOWN = "unknown"


def write_manifest(
    runtime: Runtime,
    claim: Claim,
    context: JobContext,
    artifacts: Sequence[StoredArtifact],
    folder: LazyFolder,
    provenance: Provenance,
) -> tuple[StoredArtifact, UnflushedManifest | None]:
    """Write the manifest, store it and return it. After a crash the manifest that was already stored is kept.

    If it did not wait for the disk, it is also returned for the ledger, which keeps it until it is flushed.

    Raises:
        StorageUnavailable: an artifact that the ledger recorded is not in storage.
    """
    job = claim.job
    for artifact in artifacts:
        found = runtime.storage.head(artifact.uri)
        if found is None or found.bytes != artifact.bytes:
            raise StorageUnavailable(f"{artifact.uri} is missing from storage or has another size; will retry")
    manifest = Manifest(
        job_id=job.id,
        type=job.type,
        fingerprint=job.fingerprint,
        artifacts=[_record(artifact) for artifact in artifacts],
        provider=provenance.provider,
        model=provenance.model or job.type,
        model_version=provenance.version or (_own_version() if provenance.provider == "local" else _UNKNOWN),
        seed=_whole(provenance.details.get("seed")),
        prompt=_text(context.manifest_details.get("prompt", provenance.details.get("prompt"))),
        cost=provenance.cost,
        details=_provider_details(provenance)
        | _told(context)
        | ({"calls": [call.as_record() for call in provenance.calls]} if provenance.calls else {}),
        steps=[
            ManifestStep(name=step.name, seconds=round(step.finished_at - step.started_at, 3))
            for step in (steps.of_job(runtime.database, job.id) if context.may_have_steps else ())
            if step.finished_at is not None
        ],
        completed_at=dt.datetime.fromtimestamp(round(claim.now(), 3), dt.UTC),
    )
    content = (manifest.model_dump_json(indent=2, exclude_none=True) + "\n").encode()
    if (unflushed := context.store_unflushed(content)) is not None:
        return _artifact(unflushed), unflushed
    path = folder.path / MANIFEST
    path.write_bytes(content)
    return context.store(LocalFile(name=MANIFEST, content_type=MANIFEST_TYPE, path=path)), None


def _artifact(manifest: UnflushedManifest) -> StoredArtifact:
    return StoredArtifact(
        name=MANIFEST,
        content_type=MANIFEST_TYPE,
        uri=manifest.uri,
        sha256=hashlib.sha256(manifest.content).hexdigest(),
        bytes=len(manifest.content),
    )


def _provider_details(provenance: Provenance) -> dict[str, Any]:
    """Return what the providers reported and the manifest has no field for: title, batch, duration and so on."""
    return {name: value for name, value in provenance.details.items() if name not in _FIELDS}


def _told(context: JobContext) -> dict[str, Any]:
    return {name: value for name, value in context.manifest_details.items() if name != "prompt"}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@functools.cache
def _own_version() -> str:
    # Cached: reading the package's metadata takes a millisecond.
    return version("telecine")


def _record(artifact: StoredArtifact) -> ManifestArtifact:
    return ManifestArtifact(
        name=artifact.name,
        uri=artifact.uri,
        bytes=artifact.bytes,
        sha256=artifact.sha256,
        content_type=artifact.content_type,
        facts=artifact.facts,
    )
