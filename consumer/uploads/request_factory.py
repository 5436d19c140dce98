"""From one uploaded object to the request that its rule makes of it. Reads the object store, writes nothing."""

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
from schemas.pin import Pin
from schemas.relative_uris import resolve_relative_uris
from schemas.s3_events import Dropped, Upload
from schemas.trigger_requests import manifest_request, object_request, pair_request
from schemas.triggers import NO_TRIGGERS, Trigger, TriggerRules, part_of


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A request as a mapping, not yet parsed, and the tenant that its rule binds it to."""

    request: Mapping[str, Any]
    tenant: str | None = None
    #: By URI: the objects that the request was made of, as they were. Its job reads these and no newer ones.
    pins: Mapping[str, Pin] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestFactory:
    """Makes requests of uploads by the rules of one installation. Safe to use from several threads."""

    storage: Storage
    scratch: Path
    limit_bytes: int
    rules: TriggerRules = field(default=NO_TRIGGERS)

    def __call__(self, upload: Upload) -> DraftRequest | Dropped:
        """The request, or why there is none.

        Raises:
            InputError, RequestError, StorageError: their verdicts say whether it is worth trying again.
        """
        rule = self.rules.match(upload.bucket, upload.key)
        if rule is None:
            if not self.rules.names_bucket(upload.bucket):
                raise no_trigger(upload)
            return Dropped("no rule covers it")
        stored = self._look(rule, upload)
        if stored.own:
            return Dropped("Telecine wrote it")
        if rule.pair:
            return self._pair(rule, upload)
        _check_same(upload, stored)
        version = upload.version or stored.version or upload.etag or _version(stored)
        if rule.manifest:
            return DraftRequest(self._manifest(rule, upload, version, stored), rule.tenant)
        return DraftRequest(object_request(rule, upload, version), rule.tenant, {upload.uri: stored.pin})

    def partial_request(self, upload: Upload) -> Mapping[str, Any]:
        """What is known of the request even when it could not be made: whom to tell, and of what."""
        rule = self.rules.match(upload.bucket, upload.key)
        version = upload.version or upload.etag
        if rule is None or rule.manifest or rule.pair or version is None:
            return {} if rule is None else {"type": rule.type, **rule.envelope}
        return object_request(rule, upload, version)

    def _look(self, rule: Trigger, upload: Upload) -> StoredObject:
        """The object that the event names: the newest, or an older version while the bucket keeps it.

        Raises:
            InputNotFound: it was deleted.
        """
        newest = self.storage.head(upload.uri)
        gone = upload.uri
        # Of a pair the newest parts count, whichever of them the event is about.
        if not rule.pair and upload.version is not None and (newest is None or newest.version != upload.version):
            newest = self.storage.head(upload.uri, upload.version)
            gone = f"version {upload.version} of {upload.uri}"
        if newest is None:
            raise InputNotFound(f"{gone} is gone: it was deleted after its event was sent. Upload it again.")
        return newest

    def _manifest(self, rule: Trigger, upload: Upload, version: str, stored: StoredObject) -> Mapping[str, Any]:
        uploaded = read_mapping(self._read(stored), limit_bytes=self.limit_bytes)
        folder = upload.uri[: len(upload.uri) - len(upload.key.rpartition("/")[2])]
        return resolve_relative_uris(manifest_request(rule, upload, version, uploaded), folder)

    def _pair(self, rule: Trigger, upload: Upload) -> DraftRequest | Dropped:
        wanted = _wanted(rule)
        part = part_of(upload.key)
        assert part is not None, "the rule covers what is a part"
        if part.field not in wanted:
            return Dropped(f"the rule takes no {part.field} file")
        found = self._parts(upload.bucket, part.stem, wanted)
        if missing := wanted - found.keys():
            return Dropped(f"waits for {', '.join(sorted(missing))}")
        lyrics = None
        if "lyrics" in wanted:
            lyrics = lyrics_text(self._read(found["lyrics"]), found["lyrics"].uri)
        parts = {name: (stored.uri, _version(stored)) for name, stored in found.items()}
        pins = {stored.uri: stored.pin for stored in found.values()}
        return DraftRequest(pair_request(rule, upload.bucket, part.stem, parts, lyrics), rule.tenant, pins)

    def _parts(self, bucket: str, stem: str, wanted: frozenset[str]) -> dict[str, StoredObject]:
        """The objects of the pair that are there. Telecine's own are none."""
        found: dict[str, StoredObject] = {}
        beginning = f"s3://{bucket}/"
        for uri in self.storage.siblings(f"{beginning}{stem}."):
            part = part_of(uri.removeprefix(beginning))
            if part is None or part.stem != stem or part.field not in wanted:
                continue
            stored = self.storage.head(uri)
            if stored is None or stored.own:
                continue
            if (other := found.get(part.field)) is not None:
                raise InvalidEvent(f"the pair has two files for {part.field}, {other.uri} and {uri}; remove one")
            found[part.field] = stored
        return found

    def _read(self, stored: StoredObject) -> bytes:
        """The small object's bytes, which are those that ``stored`` is about."""
        with job_folder(self.scratch) as folder:
            path = folder / "uploaded"
            try:
                self.storage.fetch(stored.uri, path, self.limit_bytes, stored.pin)
            except InputReplaced:
                raise InputUnavailable(f"{stored.uri} changed while it was read. It is tried again.") from None
            return path.read_bytes()


def _wanted(rule: Trigger) -> frozenset[str]:
    """The parts without which nothing happens. Lyrics that stand in the rule need no file."""
    model = JOB_TYPES.get(rule.type or "reel")
    lyrics = model is not None and "lyrics" in model.model_fields and "lyrics" not in rule.fields
    return frozenset({"image", "audio", *(["lyrics"] if lyrics else [])})


def _check_same(upload: Upload, stored: StoredObject) -> None:
    """Returns if the object is still the one that the event is about, as far as either side says.

    Raises:
        InputReplaced: a job would be made from other content than its id is derived from.
    """
    known = [(upload.etag, stored.etag), (upload.version, stored.version)]
    if any(said is not None and found is not None and said != found for said, found in known):
        raise InputReplaced(
            f"{upload.uri} was replaced after this event was sent: the event names {upload.version or upload.etag}, "
            f"now there is {_version(stored)}. The newer object has an event of its own."
        )


def _version(stored: StoredObject) -> str:
    return stored.version or stored.etag or str(stored.bytes)
