"""``ExpectedBucketOwner``: every call names the expected owner of its bucket, and a foreign bucket is refused by name.

ministack ignores the header. So a proxy in front of it checks it as AWS does, and records each call.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.storage.atomic_copy import chunks_of, copy_whole
from consumer.storage.base import ObjectFacts, Storage
from consumer.storage.factory import open_storage
from schemas.errors import InputForbidden, OutputForbidden, TelecineError
from tests.servers.s3 import S3

OWNER, OTHER_OWNER = "111122223333", "444455556666"
HEADER = "x-amz-expected-bucket-owner"
REFUSED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


class OwnedS3(ThreadingHTTPServer):
    """Forwards requests to ``url`` that name ``OWNER`` or no owner, and refuses all others."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(url).netloc
        #: Method, path and owner header of each call.
        self.calls: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: OwnedS3
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        owner = self.headers.get(HEADER)
        self.server.calls.append((self.command, urlsplit(self.path).path, owner))
        body = self._body()
        if owner not in (None, OWNER):
            self._answer(403, [("content-type", "application/xml")], REFUSED)
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=20)
        connection.request(self.command, self.path, body, dict(self.headers))
        found = connection.getresponse()
        self._answer(found.status, found.getheaders(), found.read())
        connection.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward

    def _body(self) -> bytes:
        if self.headers.get("expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length", str(len(body)))
        self.send_header("content-length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def owned(s3: S3) -> Iterator[OwnedS3]:
    server = OwnedS3(s3.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def storage(server: OwnedS3, s3: S3, owners: dict[str, str]) -> Storage:
    return open_storage("s3", endpoint_url=server.url, region=s3.region, path_style=True, bucket_owners=owners)


def facts_of(path: Path) -> ObjectFacts:
    with path.open("rb") as source:
        whole = copy_whole(
            chunks_of(source), path.with_suffix(".copy"), limit_bytes=99, expected_bytes=path.stat().st_size
        )
    return ObjectFacts(job_id="j", fingerprint="f", content_type="text/plain", sha256=whole.sha256, bytes=whole.bytes)


def use_everything(storage: Storage, bucket: str, folder: Path) -> None:
    """Call every method of a storage that sends a request to the server."""
    folder.mkdir(exist_ok=True)
    path = folder / "a.txt"
    path.write_text("la la la")
    uri = f"s3://{bucket}/j/a.txt"
    storage.put(path, uri, facts_of(path))
    storage.put(path, uri, facts_of(path))
    storage.head(uri)
    storage.list_prefix(uri)
    storage.fetch(uri, folder / "back", 99)
    storage.delete(f"s3://{bucket}/j/")


def test_every_call_names_the_expected_owner_of_the_bucket(owned: OwnedS3, s3: S3, bucket: str, tmp_path: Path) -> None:
    use_everything(storage(owned, s3, {bucket: OWNER}), bucket, tmp_path / "w")
    assert {method for method, _, _ in owned.calls} >= {"PUT", "HEAD", "GET", "DELETE"}
    assert {owner for _, _, owner in owned.calls} == {OWNER}


def test_a_bucket_without_a_configured_owner_is_used_without_naming_one(
    owned: OwnedS3, s3: S3, bucket: str, tmp_path: Path
) -> None:
    use_everything(storage(owned, s3, {f"{bucket}b": OTHER_OWNER}), bucket, tmp_path / "w")
    assert {owner for _, _, owner in owned.calls} == {None}


def test_a_bucket_of_another_owner_is_neither_read_nor_written_and_the_error_says_why(
    owned: OwnedS3, s3: S3, bucket: str, tmp_path: Path
) -> None:
    uri = f"s3://{bucket}/j/a.txt"
    s3.client().put_object(Bucket=bucket, Key="j/a.txt", Body=b"la la la")
    path = tmp_path / "b.txt"
    path.write_text("lo lo lo")
    foreign = storage(owned, s3, {bucket: OTHER_OWNER})
    refused: list[TelecineError] = []
    for kind, call in (
        (InputForbidden, lambda: foreign.fetch(uri, tmp_path / "in", 99)),
        (InputForbidden, lambda: foreign.head(uri)),
        (InputForbidden, lambda: foreign.list_prefix(uri)),
        (OutputForbidden, lambda: foreign.put(path, f"s3://{bucket}/j/b.txt", facts_of(path))),
        (OutputForbidden, lambda: foreign.delete(f"s3://{bucket}/j/")),
    ):
        with pytest.raises(kind) as caught:
            call()
        refused.append(caught.value)
    for error in refused:
        assert f"the bucket {bucket} does not belong to account {OTHER_OWNER}" in error.message
    assert not (tmp_path / "in").exists()
    keys = [found["Key"] for found in s3.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["j/a.txt"]
