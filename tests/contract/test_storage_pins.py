"""Reads of a pinned object return that object or fail: pinned by its version, or by its ETag without versions."""

from __future__ import annotations

import hashlib
import json
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer.storage.base import ObjectFacts, Storage, StoredObject
from consumer.storage.factory import open_storage
from consumer.storage.folder import FolderStorage
from consumer.storage.memory import MemoryStorage
from consumer.storage.s3 import S3Storage
from schemas.errors import (
    InputForbidden,
    InputNotFound,
    InputReplaced,
    InputUnavailable,
    StorageUnavailable,
    TelecineError,
)
from schemas.reference import Pin
from tests.servers.s3 import S3

#: The smallest size that S3 accepts for the first part of a multipart upload.
PART = 5 << 20


@pytest.fixture(params=["ministack", "radosgw"])
def server(request: pytest.FixtureRequest, use_s3: Callable[[str], S3]) -> S3:
    """Return an S3 server."""
    return use_s3(request.param)


@pytest.fixture
def bucket(server: S3) -> str:
    """Return the name of an empty bucket."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    server.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def storage(server: S3) -> Storage:
    """Return the server as storage."""
    return open_storage("s3", endpoint_url=server.url, path_style=True, attempts=2, read_timeout_seconds=10)


def _versioned(server: S3, bucket: str) -> None:
    server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _pin(stored: StoredObject | None) -> Pin:
    assert stored is not None
    return stored.pin


def _put(server: S3, storage: Storage, bucket: str, content: bytes) -> Pin:
    server.client().put_object(Bucket=bucket, Key="a b+é.mp3", Body=content)
    return _pin(storage.head(f"s3://{bucket}/a b+é.mp3"))


def test_a_version_is_read_although_there_is_a_newer_one(
    server: S3, storage: Storage, bucket: str, tmp_path: Path
) -> None:
    _versioned(server, bucket)
    uri = f"s3://{bucket}/a b+é.mp3"
    first, second = (_put(server, storage, bucket, content) for content in (b"one", b"two!"))
    for pin, content in ((first, b"one"), (second, b"two!")):
        fetched = storage.fetch(uri, tmp_path / "back", 10, pin)
        assert (tmp_path / "back").read_bytes() == content
        assert fetched.sha256 == hashlib.sha256(content).hexdigest()
        found = storage.head(uri, pin.version)
        assert found is not None
        assert (found.bytes, found.version, found.etag) == (len(content), pin.version, pin.etag)
        with urllib.request.urlopen(storage.url(uri, 60, pin)) as answer:
            assert answer.read() == content


def test_a_version_is_read_although_the_object_was_deleted_later(
    server: S3, storage: Storage, bucket: str, tmp_path: Path
) -> None:
    _versioned(server, bucket)
    pin = _put(server, storage, bucket, b"one")
    server.client().delete_object(Bucket=bucket, Key="a b+é.mp3")
    uri = f"s3://{bucket}/a b+é.mp3"
    assert storage.head(uri) is None
    assert _pin(storage.head(uri, pin.version)) == pin
    storage.fetch(uri, tmp_path / "back", 10, pin)
    assert (tmp_path / "back").read_bytes() == b"one"


def test_a_missing_version_is_named(server: S3, storage: Storage, bucket: str, tmp_path: Path) -> None:
    _versioned(server, bucket)
    pin = _put(server, storage, bucket, b"one")
    _put(server, storage, bucket, b"two")
    assert pin.version is not None
    server.client().delete_object(Bucket=bucket, Key="a b+é.mp3", VersionId=pin.version)
    uri = f"s3://{bucket}/a b+é.mp3"
    assert storage.head(uri, pin.version) is None
    with pytest.raises(InputNotFound) as refused:
        storage.fetch(uri, tmp_path / "back", 10, pin)
    assert pin.version in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_without_versions_an_object_that_was_replaced_is_not_read(
    server: S3, storage: Storage, bucket: str, tmp_path: Path
) -> None:
    uri = f"s3://{bucket}/a b+é.mp3"
    first = _put(server, storage, bucket, b"one")
    assert first.version is None
    storage.fetch(uri, tmp_path / "back", 10, first)
    (tmp_path / "back").unlink()
    second = _put(server, storage, bucket, b"two")
    with pytest.raises(InputReplaced) as refused:
        storage.fetch(uri, tmp_path / "back", 10, first)
    assert uri in str(refused.value)
    assert first.etag is not None
    assert first.etag in str(refused.value)
    assert not list(tmp_path.iterdir())
    storage.fetch(uri, tmp_path / "back", 10, second)
    assert (tmp_path / "back").read_bytes() == b"two"


def test_an_object_of_a_multipart_upload_is_identified_by_its_etag(
    server: S3, storage: Storage, bucket: str, tmp_path: Path
) -> None:
    client, key = server.client(), "large.mp3"
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts: list[Any] = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, bytes(PART)), (2, b"end"))
    ]
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    pin = _pin(storage.head(f"s3://{bucket}/{key}"))
    assert pin.etag is not None
    assert pin.etag.endswith("-2")
    assert storage.fetch(f"s3://{bucket}/{key}", tmp_path / "back", 2 * PART, pin).bytes == PART + 3


def test_another_object_from_a_server_that_ignores_the_condition_is_refused(
    use_s3: Callable[[str], S3], tmp_path: Path
) -> None:
    server = use_s3("ministack")
    name = f"test-{uuid.uuid4().hex[:16]}"
    server.client().create_bucket(Bucket=name)
    storage = open_storage("s3", endpoint_url=server.url, path_style=True)
    pin = _put(server, storage, name, b"one")
    _put(server, storage, name, b"two")
    assert isinstance(storage, S3Storage)

    def forget(params: dict[str, Any], **named: object) -> None:
        del params["headers"]["If-Match"]

    storage._connection.client().meta.events.register("before-call.s3.GetObject", forget)
    with pytest.raises(InputReplaced):
        storage.fetch(f"s3://{name}/a b+é.mp3", tmp_path / "back", 10, pin)
    assert not list(tmp_path.iterdir())


def test_without_permission_the_error_names_the_permission_friction_H3_control(
    use_s3: Callable[[str], S3], tmp_path: Path
) -> None:
    server = use_s3("radosgw")  # ministack does not check policies
    name, client = f"test-{uuid.uuid4().hex[:16]}", server.client()
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    version = client.put_object(Bucket=name, Key="a", Body=b"x")["VersionId"]
    action = ["s3:GetObject", "s3:GetObjectVersion"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{name}/*"}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    storage = open_storage("s3", endpoint_url=server.url, path_style=True, attempts=1)
    with pytest.raises(InputForbidden, match="s3:GetObjectVersion"):
        storage.fetch(f"s3://{name}/a", tmp_path / "back", 10, Pin(version=version))
    for read in (storage.head, lambda uri: storage.fetch(uri, tmp_path / "back", 10)):  # friction H3, control
        with pytest.raises(InputForbidden, match="AccessDenied") as denied:
            read(f"s3://{name}/a")
        assert not denied.value.outage


def test_wrong_keys_are_an_outage_and_not_printed_friction_H3(
    use_s3: Callable[[str], S3], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, name = use_s3("radosgw"), f"test-{uuid.uuid4().hex[:16]}"  # ministack does not check signatures
    server.client().create_bucket(Bucket=name)
    storage = open_storage("s3", endpoint_url=server.url, path_style=True, attempts=1)
    _put(server, storage, name, b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-canary")
    storage, uri = open_storage("s3", endpoint_url=server.url, path_style=True, attempts=1), f"s3://{name}/a b+é.mp3"
    made = tmp_path / "made"
    made.write_bytes(b"y")
    sha256 = hashlib.sha256(b"y").hexdigest()
    facts = ObjectFacts(job_id="j", fingerprint="f", content_type="text/plain", sha256=sha256, bytes=1)
    attempts: list[tuple[type[TelecineError], Callable[[], object]]] = [
        (InputUnavailable, lambda: storage.fetch(uri, tmp_path / "back", 10)),
        (InputUnavailable, lambda: storage.head(uri)),  # a HEAD has no body, and with it no code
        (InputUnavailable, lambda: storage.list_prefix(uri)),
        (StorageUnavailable, lambda: storage.put(made, f"s3://{name}/y", facts)),
    ]
    for kind, attempt in attempts:
        with pytest.raises(kind, match="SignatureDoesNotMatch") as caught:
            attempt()
        assert caught.value.outage
        assert "canary" not in str(caught.value)
        assert server.access_key not in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    assert storage.head(uri) is not None


def _in_memory(folder: Path) -> tuple[Storage, Callable[[bytes], None]]:
    memory = MemoryStorage()
    return memory, lambda content: memory.add("s3://inbox/a.mp3", content)


def _in_a_folder(folder: Path) -> tuple[Storage, Callable[[bytes], None]]:
    place = folder / "root" / "inbox" / "a.mp3"
    place.parent.mkdir(parents=True)
    return FolderStorage(folder / "root"), lambda content: (place.write_bytes(content), None)[1]


@pytest.mark.parametrize("made", [_in_memory, _in_a_folder])
def test_a_replaced_file_is_not_read(
    made: Callable[[Path], tuple[Storage, Callable[[bytes], None]]], tmp_path: Path
) -> None:
    storage, add = made(tmp_path)
    add(b"one")
    pin = _pin(storage.head("s3://inbox/a.mp3"))
    storage.fetch("s3://inbox/a.mp3", tmp_path / "into" / "back", 10, pin)
    add(b"two")
    (tmp_path / "into" / "back").unlink()
    with pytest.raises(InputReplaced, match="was replaced"):
        storage.fetch("s3://inbox/a.mp3", tmp_path / "into" / "back", 10, pin)
    assert not list((tmp_path / "into").iterdir())
    storage.fetch("s3://inbox/a.mp3", tmp_path / "into" / "back", 10)
