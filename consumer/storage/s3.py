"""Storage on S3, or on a server that speaks like it and honours conditional writes."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from consumer.storage.atomic_copy import CHUNK_BYTES, check_size, check_unchanged, copy_whole
from consumer.storage.base import LIST_LIMIT, Fetched, ObjectFacts, StoredObject, locate, locate_folder, replaced
from consumer.storage.object_metadata import SHA256, TAG, adopt, described, metadata_of
from consumer.storage.s3_client import S3Connection, S3Options
from consumer.storage.s3_errors import code_of, reading, writing
from schemas.errors import ChecksumMismatch, OutputForbidden, StorageUnavailable
from schemas.reference import Pin

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

#: What S3 takes in one piece; one piece is what makes a conditional write simple.
LARGEST_BYTES = 5 << 30
#: The longest life of a signed URL.
LONGEST_SECONDS = 7 * 86_400
_TRIES = 4


class S3Storage:
    """Objects in S3. Every write is one conditional PUT with checksums, looked at afterwards."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._connection = S3Connection(options)

    def fetch(self, uri: str, into: Path, limit_bytes: int, pin: Pin | None = None) -> Fetched:
        """The object, copied to ``into`` while it streams; its length and known checksum are checked."""
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket), pin):
            answer = self._connection.client().get_object(Bucket=bucket, Key=key, **self._owner(bucket), **_only(pin))
            with contextlib.closing(answer["Body"]) as body:
                if pin is not None and "IfMatch" in _only(pin) and _etag(answer) != pin.etag:
                    raise replaced(uri, pin)  # the server knows no conditions
                size = answer["ContentLength"]
                check_size(size, limit_bytes)
                return copy_whole(
                    body.iter_chunks(CHUNK_BYTES),
                    into,
                    limit_bytes=limit_bytes,
                    expected_bytes=size,
                    sha256=answer["Metadata"].get(SHA256),
                )

    def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
        """The object at ``uri``. A crash here leaves nothing, or the whole object, which is adopted later."""
        bucket, key = locate(uri)
        if facts.bytes > LARGEST_BYTES:
            raise OutputForbidden(
                f"A result of {facts.bytes:,} bytes is larger than the {LARGEST_BYTES:,} S3 takes at once"
            )
        md5 = check_unchanged(path, facts)
        with writing(uri, self._options.bucket_owners.get(bucket)):
            for _ in range(_TRIES):
                if self._create(path, bucket, key, facts, md5):
                    return self._verified(uri, facts, md5)
                found = self._look(bucket, key)
                # None: it was deleted meanwhile, or another writer's PUT failed half-way (409).
                if found is not None:
                    return adopt(_stored(uri, found), found["Metadata"], facts)
        raise StorageUnavailable(f"{uri} comes and goes. It is tried again.")

    def url(self, uri: str, lifetime_seconds: int, pin: Pin | None = None) -> str:
        """A signed URL for reading. S3 lets it live for seven days at most."""
        bucket, key = locate(uri)
        which = {"Bucket": bucket, "Key": key, **_of_version(None if pin is None else pin.version)}
        with reading(uri, self._options.bucket_owners.get(bucket)):
            return self._connection.client().generate_presigned_url(
                "get_object", Params=which, ExpiresIn=min(lifetime_seconds, LONGEST_SECONDS)
            )

    def delete(self, prefix_uri: str) -> int:
        """How many objects below the folder were deleted."""
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
        """What is known about the object, without reading it."""
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket), Pin(version)):
            found = self._look(bucket, key, version)
            if found is None:
                return None
            stored = _stored(uri, found)
            # A copy may have lost its metadata and kept its tags. The count is there for who may read them.
            if not stored.own and found.get("TagCount", 0) and self._is_tagged(bucket, key, version):
                stored = stored.model_copy(update={"own": True})
        return stored

    def list_prefix(self, uri: str) -> list[str]:
        """The objects whose names begin like ``uri``, in its folder only."""
        bucket, key = locate(uri)
        with reading(uri, self._options.bucket_owners.get(bucket)):
            page = self._connection.client().list_objects_v2(
                Bucket=bucket, Prefix=key, Delimiter="/", MaxKeys=LIST_LIMIT, **self._owner(bucket)
            )
        return sorted(f"s3://{bucket}/{found['Key']}" for found in page.get("Contents", []))

    def _create(self, path: Path, bucket: str, key: str, facts: ObjectFacts, md5: bytes) -> bool:
        """Whether this call made the object; False if there is one already."""
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
                    Metadata=metadata_of(facts),
                    **extra,
                )
        except ClientError as error:
            # 409: two conditional writes at the same moment; one of them has to try again.
            if code_of(error)[1] in (409, 412):
                return False
            raise
        return True

    def _verified(self, uri: str, facts: ObjectFacts, md5: bytes) -> StoredObject:
        """What the server says about the object that was just written.

        Raises:
            ChecksumMismatch: it holds something else. If that is this very write, it is removed, so that
                the next attempt does not adopt it.
        """
        bucket, key = locate(uri)
        found = self._look(bucket, key)
        if found is None:
            raise StorageUnavailable(f"{uri} was deleted while it was written. It is tried again.")
        if not metadata_of(facts).items() <= found["Metadata"].items():
            raise ChecksumMismatch(f"{uri} was written without its marks, or over; see `telecine doctor`.")
        if found["ContentLength"] != facts.bytes or not _digests_agree(found, facts, md5):
            self._delete(bucket, key)
            raise ChecksumMismatch(f"{uri} did not arrive as it was sent. It was removed and is tried again.")
        return _stored(uri, found)

    def _look(self, bucket: str, key: str, version: str | None = None) -> HeadObjectOutputTypeDef | None:
        extra: dict[str, Any] = {**self._owner(bucket), **_of_version(version)}
        if self._options.checksums:
            extra["ChecksumMode"] = "ENABLED"
        try:
            return self._connection.client().head_object(Bucket=bucket, Key=key, **extra)
        except ClientError as error:
            if code_of(error)[1] == 404:
                return None
            raise

    def _is_tagged(self, bucket: str, key: str, version: str | None) -> bool:
        tags = self._connection.client().get_object_tagging(
            Bucket=bucket, Key=key, **self._owner(bucket), **_of_version(version)
        )
        return any(f"{tag['Key']}={tag['Value']}" == TAG for tag in tags.get("TagSet", []))

    def _delete(self, bucket: str, key: str) -> None:
        # One at a time: the bulk call is missing on some servers, and its XML cannot name every key.
        self._connection.client().delete_object(Bucket=bucket, Key=key, **self._owner(bucket))

    def _owner(self, bucket: str) -> dict[str, Any]:
        owner = self._options.bucket_owners.get(bucket)
        return {} if owner is None else {"ExpectedBucketOwner": owner}


def _of_version(version: str | None) -> dict[str, Any]:
    return {} if version is None else {"VersionId": version}


def _only(pin: Pin | None) -> dict[str, Any]:
    """What makes a GET answer with the pinned content only."""
    if pin is None or pin.version is not None or pin.etag is None:
        return _of_version(None if pin is None else pin.version)
    return {"IfMatch": f'"{pin.etag}"'}


def _etag(found: Mapping[str, Any]) -> str | None:
    return found.get("ETag", "").strip('"') or None


def _digests_agree(found: HeadObjectOutputTypeDef, facts: ObjectFacts, md5: bytes) -> bool:
    """Whether every digest that the server reports is the file's."""
    etag = found.get("ETag", "").strip('"').lower()
    # Under SSE-KMS an ETag looks like an MD5 and is none.
    is_md5 = re.fullmatch("[0-9a-f]{32}", etag) and found.get("ServerSideEncryption", "AES256") == "AES256"
    reported = found.get("ChecksumSHA256")
    return not (is_md5 and etag != md5.hex()) and (reported is None or base64.b64decode(reported).hex() == facts.sha256)


def _stored(uri: str, found: HeadObjectOutputTypeDef) -> StoredObject:
    marks: Mapping[str, str] = found["Metadata"]
    version = found.get("VersionId")
    return described(
        uri,
        marks,
        found["ContentLength"],
        found.get("ContentType", "application/octet-stream"),
        None,
        etag=_etag(found),
        version=None if version == "null" else version,
    )
