"""One suite for every storage: in memory, in a folder, on ministack and on a real Ceph."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.storage.base import ObjectFacts, Storage, StoredObject
from consumer.storage.factory import open_storage
from consumer.storage.folder import FolderStorage
from consumer.storage.memory import MemoryStorage
from consumer.storage.paths import path_of
from consumer.storage.probe import probe
from consumer.storage.s3 import LARGEST_BYTES
from schemas.errors import (
    ChecksumMismatch,
    ConfigurationError,
    InputNotFound,
    InputTooLarge,
    InputUnavailable,
    InvalidField,
    OutputExists,
    OutputForbidden,
    StorageUnavailable,
)
from tests.fault_proxy import Fault, FaultProxy
from tests.servers.s3 import S3

MEGABYTE = 1 << 20
KEYS = [
    "orders/1042/order-1042/video.mp4",
    "../x",
    "a/../b",
    "a/./b",
    "/leading",
    "a//b",
    "percent%2e%2e/x",
    "%2E%2E",
    "%",
    "%25",
    "plus+and space é.wav",
    "trailing dot.",
    "trailing./x",
    "\u05e9\u05dc\u05d5\u05dd/\u202egnp.exe",
    "tab\tand\\back",
    "question?and#hash&amp;<tag>'\"",
    "long/" + "s" * 1_000 + "/x",
    "k" * 1_024,
    "d/" * 511 + "dd",
    "é" * 512,
]


@dataclass(frozen=True)
class Place:
    """One storage, a bucket in it, and a way to add objects to it without Telecine."""

    storage: Storage
    bucket: str
    add: Callable[[str, bytes], None]

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


@pytest.fixture(params=["memory", "folder", "ministack", "radosgw"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return the storage under test, with an empty bucket."""
    if request.param == "memory":
        memory = MemoryStorage()
        return Place(memory, "results", lambda key, content: memory.add(f"s3://results/{key}", content))
    if request.param == "folder":
        return _folder_place(tmp_path / "root")
    use_s3: Callable[[str], S3] = request.getfixturevalue("use_s3")
    return _s3_place(use_s3(request.param))


@pytest.fixture(params=["ministack", "radosgw"])
def s3_server(request: pytest.FixtureRequest, use_s3: Callable[[str], S3]) -> S3:
    """Return an S3 server, for features that only S3 has."""
    return use_s3(request.param)


def _folder_place(root: Path) -> Place:
    def add(key: str, content: bytes) -> None:
        path = root / "results" / path_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return Place(FolderStorage(root), "results", add)


def _s3_place(server: S3) -> Place:
    client, bucket = server.client(), f"test-{uuid.uuid4().hex[:16]}"
    client.create_bucket(Bucket=bucket)

    def add(key: str, content: bytes) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=content)

    return Place(_shared(server), bucket, add)


@functools.cache
def _shared(server: S3) -> Storage:
    """Return a storage for all tests: making a client takes longer than most of them."""
    return _open(server)


def _open(server: S3, *, port: int | None = None, read_timeout_seconds: float = 10.0) -> Storage:
    url = server.url if port is None else f"http://127.0.0.1:{port}"
    return open_storage("s3", endpoint_url=url, path_style=True, attempts=2, read_timeout_seconds=read_timeout_seconds)


def _facts(content: bytes, job_id: str = "job-1", fingerprint: str = "f1") -> ObjectFacts:
    return ObjectFacts(
        job_id=job_id,
        fingerprint=fingerprint,
        content_type="video/mp4",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        facts={"width": 1080, "video_codec": "h264  (High)", "note": "é"},
    )


def _put(
    storage: Storage, folder: Path, uri: str, content: bytes, job_id: str = "job-1", fingerprint: str = "f1"
) -> StoredObject:
    path = folder / uuid.uuid4().hex
    path.write_bytes(content)
    return storage.put(path, uri, _facts(content, job_id, fingerprint))


def test_a_stored_object_is_fetched_and_described(place: Place, tmp_path: Path) -> None:
    content = os.urandom(3 * MEGABYTE + 7)
    uri = place.uri("orders/1/video.mp4")
    stored = _put(place.storage, tmp_path, uri, content)
    assert stored == place.storage.head(uri)
    assert (stored.uri, stored.bytes, stored.content_type) == (uri, len(content), "video/mp4")
    assert stored.facts == _facts(content).facts
    fetched = place.storage.fetch(uri, tmp_path / "back", len(content))
    assert (tmp_path / "back").read_bytes() == content
    assert fetched.sha256 == stored.sha256 == hashlib.sha256(content).hexdigest()
    assert fetched.bytes == len(content)


def test_an_empty_file_is_an_object(place: Place, tmp_path: Path) -> None:
    assert _put(place.storage, tmp_path, place.uri("empty"), b"").bytes == 0
    assert place.storage.fetch(place.uri("empty"), tmp_path / "back", 10).bytes == 0


def test_a_second_attempt_adopts_the_object_of_the_first(place: Place, tmp_path: Path) -> None:
    uri = place.uri("orders/1/video.mp4")
    first = _put(place.storage, tmp_path, uri, b"first rendering")
    second = _put(place.storage, tmp_path, uri, b"second rendering, other bytes")
    assert second == first
    place.storage.fetch(uri, tmp_path / "back", 100)
    assert (tmp_path / "back").read_bytes() == b"first rendering"


@pytest.mark.parametrize(("job_id", "fingerprint"), [("job-2", "f1"), ("job-1", "f2")])
def test_another_job_or_another_request_is_refused(place: Place, tmp_path: Path, job_id: str, fingerprint: str) -> None:
    uri = place.uri("orders/1/video.mp4")
    _put(place.storage, tmp_path, uri, b"mine")
    with pytest.raises(OutputExists, match=r"orders/1/video\.mp4"):
        _put(place.storage, tmp_path, uri, b"mine", job_id, fingerprint)
    place.storage.fetch(uri, tmp_path / "back", 100)
    assert (tmp_path / "back").read_bytes() == b"mine"


def test_a_foreign_object_is_never_overwritten(place: Place, tmp_path: Path) -> None:
    place.add("holiday.mp4", b"irreplaceable")
    with pytest.raises(OutputExists, match=r"holiday\.mp4"):
        _put(place.storage, tmp_path, place.uri("holiday.mp4"), b"irreplaceable")
    place.storage.fetch(place.uri("holiday.mp4"), tmp_path / "back", 100)
    assert (tmp_path / "back").read_bytes() == b"irreplaceable"


def test_of_sixteen_writers_one_wins_and_fifteen_are_refused(place: Place, tmp_path: Path) -> None:
    uri, start = place.uri("race/video.mp4"), threading.Barrier(16)
    won: list[int] = []
    refused: list[int] = []

    def write(number: int) -> None:
        start.wait()
        try:
            _put(place.storage, tmp_path, uri, b"x" * 50_000 + b"%d" % number, f"job-{number}")
            won.append(number)
        except OutputExists:
            refused.append(number)

    _in_threads(write)
    assert (len(won), len(refused)) == (1, 15)
    place.storage.fetch(uri, tmp_path / "back", MEGABYTE)
    assert (tmp_path / "back").read_bytes() == b"x" * 50_000 + b"%d" % won[0]


def test_sixteen_attempts_of_one_job_agree_on_one_object(place: Place, tmp_path: Path) -> None:
    uri, start = place.uri("race/video.mp4"), threading.Barrier(16)
    stored: list[StoredObject] = []

    def write(number: int) -> None:
        start.wait()
        stored.append(_put(place.storage, tmp_path, uri, b"attempt %d" % number))

    _in_threads(write)
    assert len({found.sha256 for found in stored}) == 1
    assert len({found.model_dump_json() for found in stored}) == 1


def _in_threads(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_missing_object_is_not_found(place: Place, tmp_path: Path) -> None:
    place.add("there", b"x")
    with pytest.raises(InputNotFound, match="nowhere"):
        place.storage.fetch(place.uri("nowhere"), tmp_path / "back", 10)
    assert place.storage.head(place.uri("nowhere")) is None
    assert not (tmp_path / "back").exists()


def test_a_missing_bucket_is_not_found(place: Place, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no-such-bucket-anywhere"):
        place.storage.fetch("s3://no-such-bucket-anywhere/x", tmp_path / "back", 10)


def test_a_large_object_is_refused_before_it_is_copied(place: Place, tmp_path: Path) -> None:
    place.add("large", b"x" * 1_001)
    with pytest.raises(InputTooLarge, match="File too large: 1,001 bytes, at most 1,000"):
        place.storage.fetch(place.uri("large"), tmp_path / "into" / "back", 1_000)
    assert not list(tmp_path.glob("into/*"))
    assert place.storage.fetch(place.uri("large"), tmp_path / "into" / "back", 1_001).bytes == 1_001


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_every_key_names_an_object_of_its_own(place: Place, tmp_path: Path, key: str) -> None:
    others = [other for other in ("x", "b", "a/b", "leading", "%2e%2e", "../../x") if other != key]
    for other in others:
        place.add(other, b"other " + other.encode())
    content = b"content of " + key.encode()
    stored = _put(place.storage, tmp_path, place.uri(key), content)
    assert place.storage.head(place.uri(key)) == stored
    assert place.storage.fetch(place.uri(key), tmp_path / "back", 2_000).sha256 == stored.sha256
    for other in others:
        assert place.storage.fetch(place.uri(other), tmp_path / "back", 2_000).bytes == 6 + len(other)


def test_objects_with_all_keys_can_coexist(place: Place, tmp_path: Path) -> None:
    for key in KEYS:
        place.add(key, key.encode())
    for key in KEYS:
        place.storage.fetch(place.uri(key), tmp_path / "back", 2_000)
        assert (tmp_path / "back").read_bytes() == key.encode()


@pytest.mark.parametrize("uri", ["s3://b/x", "s3://results", "s3://results/", "https://results/x", "results/x"])
def test_a_uri_that_names_no_object_is_refused(place: Place, tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidField):
        place.storage.fetch(uri, tmp_path / "back", 10)
    with pytest.raises(InvalidField):
        place.storage.delete(uri)


@pytest.mark.parametrize("slash", ["", "/"])
def test_deleting_a_folder_leaves_its_siblings(place: Place, tmp_path: Path, slash: str) -> None:
    gone = ["out/job-1/video.mp4", "out/job-1/manifest.json", "out/job-1/deep/er/x"]
    kept = ["out/job-10/video.mp4", "out/job-1.txt", "out/job-", "job-1/x"]
    for key in gone + kept:
        _put(place.storage, tmp_path, place.uri(key), key.encode())
    assert place.storage.delete(place.uri("out/job-1" + slash)) == 3
    assert [key for key in gone + kept if place.storage.head(place.uri(key)) is not None] == kept
    assert place.storage.delete(place.uri("out/job-1" + slash)) == 0
    assert _put(place.storage, tmp_path, place.uri(gone[0]), b"again", "job-3").owner[0] == "job-3"  # type: ignore[index]


def test_objects_that_telecine_wrote_are_recognised(place: Place, tmp_path: Path) -> None:
    assert _put(place.storage, tmp_path, place.uri("own"), b"mine").written_by_telecine
    place.add("foreign", b"foreign")
    own, foreign = place.storage.head(place.uri("own")), place.storage.head(place.uri("foreign"))
    assert own is not None
    assert foreign is not None
    assert (own.written_by_telecine, foreign.written_by_telecine) == (True, False)


def test_an_etag_has_no_quotes_and_changes_with_the_content(place: Place) -> None:
    found = []
    for content in (b"one", b"two", b"one"):
        place.add("song.txt", content)
        head = place.storage.head(place.uri("song.txt"))
        assert head is not None
        assert head.etag is not None
        assert head.version is None
        found.append(head.etag)
    assert '"' not in "".join(found)
    assert found[0] == found[2] != found[1]


def test_a_prefix_lists_siblings_in_the_same_folder(place: Place) -> None:
    siblings = ["pairs/song.mp3", "pairs/song.é +%2B.txt", "pairs/song.jpg"]
    for key in [*siblings, "pairs/songs.mp3", "pairs/song.d/x.mp3", "pairs/a/song.mp3", "song.mp3", "pair"]:
        place.add(key, b"x")
    assert place.storage.list_prefix(place.uri("pairs/song.")) == sorted(map(place.uri, siblings))
    assert place.storage.list_prefix(place.uri("song.")) == [place.uri("song.mp3")]
    assert place.storage.list_prefix(place.uri("nowhere/song.")) == []
    assert len(place.storage.list_prefix(place.uri("pairs/song"))) == 4


def test_a_file_that_changed_after_its_checksum_was_taken_is_not_stored(place: Place, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"other")
    with pytest.raises(ChecksumMismatch):
        place.storage.put(tmp_path / "video", place.uri("video.mp4"), _facts(b"made!"))
    assert place.storage.head(place.uri("video.mp4")) is None


def test_the_probe_finds_conditional_writes_and_cleans_up(place: Place) -> None:
    probe(place.storage, place.bucket)
    assert place.storage.delete(place.uri(".telecine-probe/")) == 0


def test_a_url_is_readable_by_anyone_for_a_while(s3_server: S3, tmp_path: Path) -> None:
    place = _s3_place(s3_server)
    uri = place.uri("orders/a b+é.mp4")
    _put(place.storage, tmp_path, uri, b"moving pictures")
    url = place.storage.url(uri, 60)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"moving pictures"
        assert answer.headers["Content-Type"] == "video/mp4"
    unsigned = url.partition("?")[0]
    if s3_server.name == "radosgw":  # ministack does not check signatures
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(unsigned, timeout=10)
        assert refused.value.code == 403
        refused.value.close()


def test_a_stored_object_has_the_tag_that_prevents_triggering(s3_server: S3, tmp_path: Path) -> None:
    place = _s3_place(s3_server)
    _put(place.storage, tmp_path, place.uri("video.mp4"), b"x")
    tags = s3_server.client().get_object_tagging(Bucket=place.bucket, Key="video.mp4")["TagSet"]
    assert tags == [{"Key": "telecine", "Value": "1"}]


def test_a_server_without_checksums_and_tags_can_be_used(s3_server: S3, tmp_path: Path) -> None:
    place = _s3_place(s3_server)
    storage = open_storage("s3", endpoint_url=s3_server.url, path_style=True, checksums=False, tags=False)
    stored = _put(storage, tmp_path, place.uri("video.mp4"), b"x" * 100_000)
    assert storage.fetch(place.uri("video.mp4"), tmp_path / "back", MEGABYTE).sha256 == stored.sha256
    assert not s3_server.client().get_object_tagging(Bucket=place.bucket, Key="video.mp4")["TagSet"]
    probe(storage, place.bucket)


def test_an_object_that_was_damaged_in_transfer_is_deleted_and_not_adopted(
    s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _s3_place(s3_server)
    with monkeypatch.context() as patched, pytest.raises(ChecksumMismatch):
        patched.setattr("consumer.storage.s3._digests_agree", lambda *_: False)
        _put(place.storage, tmp_path, place.uri("video.mp4"), b"x")
    assert place.storage.head(place.uri("video.mp4")) is None
    assert _put(place.storage, tmp_path, place.uri("video.mp4"), b"x").bytes == 1


def test_a_forked_worker_uses_connections_of_its_own(s3_server: S3, tmp_path: Path) -> None:
    place = _s3_place(s3_server)
    place.add("song.mp3", b"la")
    assert place.storage.head(place.uri("song.mp3")) is not None
    child = os.fork()
    if child == 0:
        try:
            place.storage.fetch(place.uri("song.mp3"), tmp_path / "child", 10)
        finally:
            os._exit(0)
    assert place.storage.head(place.uri("song.mp3")) is not None
    os.waitpid(child, 0)
    assert (tmp_path / "child").read_bytes() == b"la"


def test_storing_into_a_missing_bucket_names_it(s3_server: S3, tmp_path: Path) -> None:
    with pytest.raises(OutputForbidden, match="bucket no-such-bucket-anywhere does not exist"):
        _put(_shared(s3_server), tmp_path, "s3://no-such-bucket-anywhere/video.mp4", b"x")


def test_a_result_over_the_limit_of_one_put_is_refused_unread(s3_server: S3, tmp_path: Path) -> None:
    facts = _facts(b"x").model_copy(update={"bytes": LARGEST_BYTES + 1})
    with pytest.raises(OutputForbidden, match="larger than"):
        _shared(s3_server).put(tmp_path / "unread", "s3://results/video.mp4", facts)


def test_a_copy_without_metadata_is_recognised_by_its_tag(s3_server: S3) -> None:
    place, client = _s3_place(s3_server), s3_server.client()
    for tag in ("telecine=1", "telecine=0"):
        client.put_object(Bucket=place.bucket, Key=tag, Body=b"made", Tagging=tag)
    own, other = place.storage.head(place.uri("telecine=1")), place.storage.head(place.uri("telecine=0"))
    assert own is not None
    assert other is not None
    # Some servers do not return the number of tags for HEAD.
    assert own.written_by_telecine == bool(client.head_object(Bucket=place.bucket, Key="telecine=1").get("TagCount"))
    assert own.written_by_telecine or s3_server.name != "radosgw"
    assert not other.written_by_telecine


def test_a_versioned_bucket_returns_the_version(s3_server: S3, tmp_path: Path) -> None:
    place = _s3_place(s3_server)
    s3_server.client().put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    found = []
    for content in (b"one", b"two"):
        place.add("song.mp3", content)
        head = place.storage.head(place.uri("song.mp3"))
        assert head is not None
        found.append(head.version)
    assert None not in found
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "fault", [Fault(cut_after_bytes=200_000), Fault(reset_after_bytes=200_000), Fault(refuse=True)]
)
def test_an_interrupted_download_leaves_no_file(s3_server: S3, tmp_path: Path, fault: Fault) -> None:
    place = _s3_place(s3_server)
    place.add("song.mp3", os.urandom(2 * MEGABYTE))
    with FaultProxy(int(s3_server.url.rpartition(":")[2])) as proxy:
        storage = _open(s3_server, port=proxy.port)
        proxy.fault = fault
        with pytest.raises(InputUnavailable):
            storage.fetch(place.uri("song.mp3"), tmp_path / "into" / "back", 4 * MEGABYTE)
        assert not list(tmp_path.glob("into/*"))
        proxy.fault = Fault()
        assert storage.fetch(place.uri("song.mp3"), tmp_path / "into" / "back", 4 * MEGABYTE).bytes == 2 * MEGABYTE


def test_a_server_that_stops_responding_is_a_temporary_failure(s3_server: S3, tmp_path: Path) -> None:
    with FaultProxy(int(s3_server.url.rpartition(":")[2])) as proxy:
        place = _s3_place(s3_server)
        storage = _open(s3_server, port=proxy.port, read_timeout_seconds=0.3)
        proxy.fault = Fault(black_hole=True)
        with pytest.raises(StorageUnavailable):
            _put(storage, tmp_path, place.uri("video.mp4"), b"x")


def test_a_write_whose_response_was_lost_is_adopted(s3_server: S3, tmp_path: Path) -> None:
    place = _s3_place(s3_server)
    with FaultProxy(int(s3_server.url.rpartition(":")[2])) as proxy:
        storage = _open(s3_server, port=proxy.port)
        proxy.fault = Fault(cut_after_bytes=30)
        with pytest.raises(StorageUnavailable):
            _put(storage, tmp_path, place.uri("video.mp4"), b"first attempt")
        proxy.fault = Fault()
        assert _put(storage, tmp_path, place.uri("video.mp4"), b"second attempt").bytes == len(b"first attempt")
    place.storage.fetch(place.uri("video.mp4"), tmp_path / "back", 100)
    assert (tmp_path / "back").read_bytes() == b"first attempt"


def test_the_probe_detects_a_server_that_overwrites() -> None:
    class Careless(MemoryStorage):
        def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
            self.add(uri, path.read_bytes())
            return super().put(path, uri + "-elsewhere", facts).model_copy(update={"uri": uri})

    class Forgetful(Careless):
        def put(self, path: Path, uri: str, facts: ObjectFacts) -> StoredObject:
            self.delete(uri.rpartition("/")[0])
            return super().put(path, uri, facts)

    with pytest.raises(ConfigurationError, match="If-None-Match"):
        probe(Forgetful(), "results")
