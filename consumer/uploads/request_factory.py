"""Makes a request from an uploaded object by its trigger rule. Reads the object store, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumer.admission.notification import no_trigger
from consumer.storage.base import Storage, StoredObject
from consumer.storage.scratch import job_folder
from schemas.errors import InputNotFound, InputReplaced, InputUnavailable, InvalidEvent
from schemas.job_types import JOB_TYPES
from schemas.lyrics_file import lyrics_text
from schemas.parse import read_mapping
from schemas.reference import Pin
from schemas.relative_uris import resolve_relative_uris
from schemas.s3_events import Dropped, Upload
from schemas.trigger_requests import manifest_request, object_request, pair_request
from schemas.triggers import NO_TRIGGERS, Trigger, TriggerRules, part_of


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A request that is not validated yet, and the tenant that its trigger rule is bound to."""

    request: Mapping[str, Any]
    tenant: str | None = None
    #: By URI: the version of each uploaded object. The job reads exactly these, not newer ones.
    pins: Mapping[str, Pin] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestFactory:
    """Makes requests from uploads by the trigger rules. Thread-safe."""

    storage: Storage
    scratch: Path
    limit_bytes: int
    rules: TriggerRules = field(default=NO_TRIGGERS)

    def build(self, upload: Upload) -> DraftRequest | Dropped:
        """Make the request for an upload, or return why there is none.

        Raises:
            InputError: The object is missing, replaced or not readable.
            RequestError: The uploaded request is invalid.
            StorageError: The object store failed. As with the others, the verdict says whether to retry.
        """
        rule = self.rules.match(upload.bucket, upload.key)
        if rule is None:
            if not self.rules.names_bucket(upload.bucket):
                raise no_trigger(upload)
            return Dropped("no rule covers it")
        if upload.empty:
            # Some clients create an object and fill it with a second write, which has its own event.
            return Dropped("it is empty")
        stored = self._find(rule, upload)
        if stored.written_by_telecine:
            return Dropped("Telecine wrote it")
        if rule.pair:
            return self._pair(rule, upload)
        _check_same(upload, stored)
        if stored.bytes == 0:
            return Dropped("it is empty")
        version = upload.version or stored.version or upload.etag or _version(stored)
        if rule.manifest:
            return DraftRequest(self._manifest(rule, upload, version, stored), rule.tenant)
        return DraftRequest(object_request(rule, upload, version), rule.tenant, {upload.uri: stored.pin})

    def partial_request(self, upload: Upload) -> Mapping[str, Any]:
        """Return the fields that are known without the object: enough for a callback if the request cannot be made."""
        rule = self.rules.match(upload.bucket, upload.key)
        version = upload.version or upload.etag
        if rule is None or rule.manifest or rule.pair or version is None:
            return {} if rule is None else {"type": rule.type, **rule.envelope}
        return object_request(rule, upload, version)

    def _find(self, rule: Trigger, upload: Upload) -> StoredObject:
        """Look up the object that the event names: the newest one, or an older version if the bucket keeps it.

        Raises:
            InputNotFound: The object was deleted.
        """
        newest = self.storage.head(upload.uri)
        missing = upload.uri
        # A pair always uses the newest version of each part.
        if not rule.pair and upload.version is not None and (newest is None or newest.version != upload.version):
            newest = self.storage.head(upload.uri, upload.version)
            missing = f"version {upload.version} of {upload.uri}"
        if newest is None:
            raise InputNotFound(f"{missing} was deleted after its event was sent. Upload it again.")
        return newest

    def _manifest(self, rule: Trigger, upload: Upload, version: str, stored: StoredObject) -> Mapping[str, Any]:
        uploaded = read_mapping(self._read(stored), limit_bytes=self.limit_bytes)
        folder = upload.uri[: len(upload.uri) - len(upload.key.rpartition("/")[2])]
        return resolve_relative_uris(manifest_request(rule, upload, version, uploaded), folder)

    def _pair(self, rule: Trigger, upload: Upload) -> DraftRequest | Dropped:
        required = _required_parts(rule)
        part = part_of(upload.key)
        assert part is not None, "a pair rule only matches parts"
        if part.field not in required:
            return Dropped(f"the rule does not use a {part.field} file")
        found = self._parts(upload.bucket, part.stem, required)
        if missing := required - found.keys():
            return Dropped(
                f"the pair is made when its {' and '.join(sorted(missing))} file is uploaded", incomplete=True
            )
        lyrics = None
        if "lyrics" in required:
            lyrics = lyrics_text(self._read(found["lyrics"]), found["lyrics"].uri)
        parts = {name: (stored.uri, _version(stored)) for name, stored in found.items()}
        pins = {stored.uri: stored.pin for stored in found.values()}
        return DraftRequest(pair_request(rule, upload.bucket, part.stem, parts, lyrics), rule.tenant, pins)

    def incomplete_pairs(self) -> list[tuple[str, list[str]]]:
        """Return the pairs in the buckets that miss parts, by URI without extension, with the missing fields.

        Judged by the names of the objects.
        """
        found: list[tuple[str, list[str]]] = []
        for rule in self.rules.rules:
            if not rule.pair:
                continue
            bucket_uri = f"s3://{rule.bucket}/"
            fields: dict[str, set[str]] = {}
            for uri in self.storage.list_prefix(f"{bucket_uri}{rule.prefix}"):
                part = part_of(uri.removeprefix(bucket_uri))
                if part is not None and self.rules.match(rule.bucket, uri.removeprefix(bucket_uri)) is rule:
                    fields.setdefault(part.stem, set()).add(part.field)
            required = _required_parts(rule)
            found += [
                (f"{bucket_uri}{stem}", sorted(required - there))
                for stem, there in sorted(fields.items())
                if there & required and required - there
            ]
        return found

    def _parts(self, bucket: str, stem: str, required: frozenset[str]) -> dict[str, StoredObject]:
        """Return the uploaded parts of the pair by field. Empty ones and those written by Telecine do not count."""
        found: dict[str, StoredObject] = {}
        bucket_uri = f"s3://{bucket}/"
        for uri in self.storage.list_prefix(f"{bucket_uri}{stem}."):
            part = part_of(uri.removeprefix(bucket_uri))
            if part is None or part.stem != stem or part.field not in required:
                continue
            stored = self.storage.head(uri)
            if stored is None or stored.written_by_telecine or stored.bytes == 0:
                continue
            if (other := found.get(part.field)) is not None:
                raise InvalidEvent(f"the pair has two files for {part.field}, {other.uri} and {uri}; remove one")
            found[part.field] = stored
        return found

    def _read(self, stored: StoredObject) -> bytes:
        """Return the content of exactly this version of a small object."""
        with job_folder(self.scratch) as folder:
            path = folder / "uploaded"
            try:
                self.storage.fetch(stored.uri, path, self.limit_bytes, stored.pin)
            except InputReplaced:
                raise InputUnavailable(f"{stored.uri} changed while it was read. Will retry.") from None
            return path.read_bytes()


def _required_parts(rule: Trigger) -> frozenset[str]:
    """Return the fields that need an uploaded part. Lyrics do not if the rule contains them or a ``timing``."""
    model = JOB_TYPES.get(rule.type or "reel")
    lyrics = model is not None and "lyrics" in model.model_fields and not {"lyrics", "timing"} & set(rule.fields)
    return frozenset({"image", "audio", *(["lyrics"] if lyrics else [])})


def _check_same(upload: Upload, stored: StoredObject) -> None:
    """Check that the object is still the one that the event names, by ETag and version where both are known.

    Raises:
        InputReplaced: The content is not the content that the job's id is derived from.
    """
    known = [(upload.etag, stored.etag), (upload.version, stored.version)]
    if any(event is not None and found is not None and event != found for event, found in known):
        raise InputReplaced(
            f"{upload.uri} was replaced after this event was sent: the event names {upload.version or upload.etag}, "
            f"the bucket now has {_version(stored)}. The newer object has its own event."
        )


def _version(stored: StoredObject) -> str:
    return stored.version or stored.etag or str(stored.bytes)
