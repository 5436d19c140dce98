"""What the HTTP edge needs of every storage: parts of objects, folders, uploads by clients."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from consumer.storage.base import Storage
from consumer.storage.edge_uploads import upload_facts, uploaded_at
from consumer.storage.factory import open_storage
from schemas.errors import InputNotFound
from tests.contract.test_storage_conformance import Place, place  # noqa: F401 - a fixture
from tests.servers.s3 import S3


def test_a_part_of_an_object_is_read(place: Place) -> None:  # noqa: F811
    place.add("a/video.mp4", bytes(range(256)) * 8192)
    read = place.storage.read
    assert b"".join(read(place.uri("a/video.mp4"), 254, 4)) == bytes([254, 255, 0, 1])
    assert len(b"".join(read(place.uri("a/video.mp4"), 5, (2 << 20) - 5))) == (2 << 20) - 5
    assert b"".join(read(place.uri("a/video.mp4"), 7, 0)) == b""
    with pytest.raises(InputNotFound):
        place.storage.read(place.uri("a/other.mp4"), 0, 1)


def test_folders_are_listed_after_a_name(place: Place) -> None:  # noqa: F811
    for key in ("up/a/1", "up/a.b/1", "up/b/x/1", "up/file", "upper/c/1"):
        place.add(key, b"x")
    assert place.storage.list_folders(place.uri("up/")) == ["a.b", "a", "b"]
    assert place.storage.list_folders(place.uri("up/"), "a.b") == ["a", "b"]
    assert place.storage.list_folders(place.uri("up/"), "b") == []
    assert place.storage.list_folders(place.uri("none/")) == []


@pytest.mark.parametrize("s3", ["ministack", "radosgw"], indirect=True)
def test_a_client_uploads_one_object_by_a_presigned_url(s3: S3, tmp_path: Path) -> None:
    bucket = f"test-{uuid.uuid4().hex[:16]}"
    s3.client().create_bucket(Bucket=bucket)
    storage: Storage = open_storage("s3", endpoint_url=s3.url, path_style=True)
    uri = f"s3://{bucket}/~uploads/j-1/image"
    made = storage.upload_url(uri, 60, job_id="j-1", size=5, facts=upload_facts())
    assert made is not None

    def put(body: bytes) -> int:
        call = urllib.request.Request(made.url, data=body, headers=dict(made.headers), method="PUT")
        try:
            return int(urllib.request.urlopen(call, timeout=10).status)
        except urllib.error.HTTPError as error:
            return error.code

    assert put(b"12345") == 200
    assert put(b"54321") == 412
    found = storage.head(uri)
    assert found is not None
    assert (found.bytes, found.written_by_telecine) == (5, True)
    assert uploaded_at(found.facts) is not None
    assert b"".join(storage.read(uri, 0, 5)) == b"12345"
