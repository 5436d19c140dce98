"""Storage on S3, or on a compatible server that honours conditional writes."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from consumer.storage.atomic_copy import CHUNK_BYTES, check_size, check_unchanged, copy_whole
from consumer.storage.base import (
    LIST_LIMIT,
    TAG,
    Fetched,
    ObjectFacts,
    PresignedUpload,
    StoredObject,
    in_key_order,
    input_replaced,
    locate,
    locate_folder,
    stored_sha256,
    to_stored_object,
    upload_metadata,
)
from consumer.storage.s3_client import S3Connection, S3Options
from consumer.storage.s3_errors import code_of, reading, writing
from schemas.errors import ChecksumMismatch, OutputForbidden, StorageUnavailable
from schemas.reference import Pin

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

#: The largest object that S3 takes in one PUT. Only a single PUT can be conditional.
LARGEST_BYTES = 5 << 30
#: The longest lifetime of a presigned URL.
LONGEST_SECONDS = 7 * 86_400
#: What a HEAD is refused with for wrong credentials as well as for a missing permission.
_UNEXPLAINED = (400, 401, 403)
#: How often ``put`` tries when the object appears and disappears.
_TRIES = 4


class S3Storage:
    """Objects in S3. Every write is one conditional PUT with checksums, verified afterwards."""

    has_urls = True
    small_files = None

    def __init__(self, options: S3Options) -> None:
        """Prepare the storage; it connects on first use."""
        self._options = options
        self._connection = S3Connection(options)

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """Stream the object to ``into`` and check its length and, if known, its checksum."""
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket), pin):
            answer = self._connection.client().get_object(
                Bucket=bucket, Key=key, **self._owner(bucket), **_condition(pin)
            )
            with contextlib.closing(answer["Body"]) as body:
                if pin is not None and "IfMatch" in _condition(pin) and _etag(answer) != pin.etag:
                    raise input_replaced(uri, pin)  # the server ignores conditions
                size = answer["ContentLength"]
                check_size(size, limit_bytes)
                return copy_whole(
                    body.iter_chunks(CHUNK_BYTES),
                    into,
                    limit_bytes=limit_bytes,
                    expected_bytes=size,
                    sha256=stored_sha256(answer["Metadata"]),
                )

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """Store the file. A crash leaves nothing, or the whole object, which the next attempt adopts."""
        bucket, key = locate(uri)
        if facts.bytes > LARGEST_BYTES:
            raise OutputForbidden(
                f"A result of {facts.bytes:,} bytes is larger than the {LARGEST_BYTES:,} that S3 accepts in one PUT"
            )
        md5 = check_unchanged(path, facts)
        by_default = uri.startswith(tuple(self._options.outputs))
        with writing(uri, self._options.bucket_owners.get(bucket), by_default=by_default):
            for _ in range(_TRIES):
                if self._create(path, bucket, key, facts, md5):
                    return self._verified(uri, facts, md5)
                found = self._look(bucket, key)
                # None: it was deleted meanwhile, or another writer's PUT failed half-way (409).
                if found is not None:
                    stored = _stored(uri, found)
                    stored.check_owner(facts.job_id, facts.fingerprint)
                    return stored
        raise StorageUnavailable(f"{uri} appeared and disappeared again while it was written. Will retry.")

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """Return a presigned URL for reading. S3 limits its lifetime to seven days."""
        bucket, key = locate(uri)
        which = {"Bucket": bucket, "Key": key, **_of_version(None if pin is None else pin.version)}
        with reading(uri, self._options.bucket_owners.get(bucket)):
            return self._connection.client().generate_presigned_url(
                "get_object", Params=which, ExpiresIn=min(lifetime_seconds, LONGEST_SECONDS)
            )

    def upload_url(
        self, uri: str, lifetime_seconds: int, *, job_id: str, size: int, facts: Mapping[str, Any]
    ) -> PresignedUpload | None:
        """Return a presigned URL for writing the object once."""
        bucket, key = locate(uri)
        metadata = upload_metadata(job_id, facts)
        with writing(uri, self._options.bucket_owners.get(bucket)):
            url = self._connection.client().generate_presigned_url(
                "put_object",
                Params={"Bucket": bucket, "Key": key, "Metadata": metadata, "ContentLength": size, "IfNoneMatch": "*"},
                ExpiresIn=min(lifetime_seconds, LONGEST_SECONDS),
            )
        named = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        return PresignedUpload(url, {**named, "content-length": str(size), "if-none-match": "*"})

    def delete(self, prefix_uri: str) -> int:
        """Delete the objects below the folder and return their number."""
        bucket, prefix = locate_folder(prefix_uri)
        count = 0
        with writing(prefix_uri, self._options.bucket_owners.get(bucket)):
            pages = self._connection.client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, **self._owner(bucket)):
                for found in page.get("Contents", []):
                    self._delete(bucket, found["Key"])
                    count += 1
        return count

    def head(self, uri: str, version: str | None = None) -> StoredObject | None:
        """Return what is known about the object, without reading it."""
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket), Pin(version)):
            found = self._look(bucket, key, version)
            if found is None:
                return None
            stored = _stored(uri, found)
            # A copy may have lost its metadata and kept its tags. TagCount is present only if we may read the tags.
            if not stored.written_by_telecine and found.get("TagCount", 0) and self._is_tagged(bucket, key, version):
                stored = stored.model_copy(update={"written_by_telecine": True})
        return stored

    def read(self, uri: str, start: int, length: int) -> Iterator[bytes]:
        """Return a part of the object, in pieces."""
        if length == 0:
            return iter(())
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket)):
            answer = self._connection.client().get_object(
                Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}", **self._owner(bucket)
            )
        return _pieces(answer["Body"].iter_chunks(CHUNK_BYTES), answer["Body"].close)

    def list_folders(self, uri: str, after: str = "") -> list[str]:
        """Return the names of the folders directly in the folder."""
        bucket, prefix = locate_folder(uri)
        # Behind all keys of the folder `after`.
        start: dict[str, Any] = {"StartAfter": f"{prefix}{after}/\U0010ffff"} if after else {}
        with reading(uri, self._options.bucket_owners.get(bucket)):
            page = self._connection.client().list_objects_v2(
                Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=LIST_LIMIT, **start, **self._owner(bucket)
            )
        names = (found["Prefix"][len(prefix) : -1] for found in page.get("CommonPrefixes", []))
        return in_key_order(names, after)

    def list_prefix(self, uri: str) -> list[str]:
        """Return the objects whose URI starts with ``uri``, in its folder only."""
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket)):
            page = self._connection.client().list_objects_v2(
                Bucket=bucket, Prefix=key, Delimiter="/", MaxKeys=LIST_LIMIT, **self._owner(bucket)
            )
        return sorted(f"s3://{bucket}/{found['Key']}" for found in page.get("Contents", []))

    def _create(self, path: Path, bucket: str, key: str, facts: ObjectFacts, md5: bytes) -> bool:
        """Return whether this call created the object; ``False`` if one exists already."""
        extra: dict[str, Any] = self._owner(bucket)
        if self._options.checksums:
            extra["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(facts.sha256)).decode()
        if self._options.tags:
            extra["Tagging"] = TAG
        try:
            with path.open("rb") as body:
                self._connection.client().put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=body,
                    IfNoneMatch="*",
                    ContentLength=facts.bytes,
                    ContentMD5=base64.b64encode(md5).decode(),
                    ContentType=facts.content_type,
                    Metadata=facts.as_metadata(),
                    **extra,
                )
        except ClientError as error:
            # 409: two conditional writes at the same moment; one of them has to retry.
            if code_of(error)[1] in (409, 412):
                return False
            raise
        return True

    def _verified(self, uri: str, facts: ObjectFacts, md5: bytes) -> StoredObject:
        """Check the object that was just written, and return what the server reports about it.

        Raises:
            ChecksumMismatch: it has other content. If this call wrote it, it is deleted, so that the next attempt does
                not adopt it.
        """
        bucket, key = locate(uri)
        found = self._look(bucket, key)
        if found is None:
            raise StorageUnavailable(f"{uri} was deleted while it was written. Will retry.")
        if not facts.as_metadata().items() <= found["Metadata"].items():
            raise ChecksumMismatch(f"{uri} was written without its metadata, or overwritten; see `telecine doctor`.")
        if found["ContentLength"] != facts.bytes or not _digests_agree(found, facts, md5):
            self._delete(bucket, key)
            raise ChecksumMismatch(f"{uri} did not arrive as it was sent. It was deleted. Will retry.")
        return _stored(uri, found)

    def _look(self, bucket: str, key: str, version: str | None = None) -> HeadObjectOutputTypeDef | None:
        extra: dict[str, Any] = {**self._owner(bucket), **_of_version(version)}
        if self._options.checksums:
            extra["ChecksumMode"] = "ENABLED"
        try:
            return self._connection.client().head_object(Bucket=bucket, Key=key, **extra)
        except ClientError as error:
            status = code_of(error)[1]
            if status == 404:
                return None
            if status in _UNEXPLAINED:
                self._explain_refusal(bucket, key, version)
            raise

    def _explain_refusal(self, bucket: str, key: str, version: str | None) -> None:
        """Raise the error of a GET, whose response says why: a HEAD's has no body, and with it no code."""
        owned = {**self._owner(bucket), **_of_version(version)}
        answer = self._connection.client().get_object(Bucket=bucket, Key=key, Range="bytes=0-0", **owned)
        answer["Body"].close()

    def _is_tagged(self, bucket: str, key: str, version: str | None) -> bool:
        tags = self._connection.client().get_object_tagging(
            Bucket=bucket, Key=key, **self._owner(bucket), **_of_version(version)
        )
        return any(f"{tag['Key']}={tag['Value']}" == TAG for tag in tags.get("TagSet", []))

    def _delete(self, bucket: str, key: str) -> None:
        # One at a time: some servers lack the bulk call, and its XML cannot express every key.
        self._connection.client().delete_object(Bucket=bucket, Key=key, **self._owner(bucket))

    def _owner(self, bucket: str) -> dict[str, Any]:
        owner = self._options.bucket_owners.get(bucket)
        return {} if owner is None else {"ExpectedBucketOwner": owner}


def _pieces(chunks: Iterable[bytes], close: Callable[[], None]) -> Iterator[bytes]:
    try:
        yield from chunks
    finally:
        close()


def _of_version(version: str | None) -> dict[str, Any]:
    return {} if version is None else {"VersionId": version}


def _condition(pin: Pin | None) -> dict[str, Any]:
    """Return the conditions that make a GET return the pinned content only."""
    if pin is None or pin.version is not None or pin.etag is None:
        return _of_version(None if pin is None else pin.version)
    return {"IfMatch": f'"{pin.etag}"'}


def _etag(found: Mapping[str, Any]) -> str | None:
    return found.get("ETag", "").strip('"') or None


def _digests_agree(found: HeadObjectOutputTypeDef, facts: ObjectFacts, md5: bytes) -> bool:
    """Return whether every digest that the server reports matches the file."""
    etag = found.get("ETag", "").strip('"').lower()
    # Under SSE-KMS an ETag looks like an MD5 but is not one.
    is_md5 = re.fullmatch("[0-9a-f]{32}", etag) and found.get("ServerSideEncryption", "AES256") == "AES256"
    reported = found.get("ChecksumSHA256")
    return not (is_md5 and etag != md5.hex()) and (reported is None or base64.b64decode(reported).hex() == facts.sha256)


def _stored(uri: str, found: HeadObjectOutputTypeDef) -> StoredObject:
    version = found.get("VersionId")
    return to_stored_object(
        uri,
        found["Metadata"],
        found["ContentLength"],
        found.get("ContentType", "application/octet-stream"),
        None,
        etag=_etag(found),
        version=None if version == "null" else version,
    )
