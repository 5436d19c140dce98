"""Uploads in real object stores: their object metadata, and their outages."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from consumer.ledger.database import Database, db_now
from consumer.ledger.schema import migrate
from consumer.storage.base import Storage
from consumer.storage.factory import open_storage
from consumer.uploads.loop import RETRY_LIMIT_SECONDS
from tests.fault_proxy import Fault, FaultProxy
from tests.s3_messages import notified
from tests.servers.s3 import S3
from tests.telecine_process import wait_until
from tests.upload_site import RULES, Site

DATA = {"image": "s3://media/c", "audio": "s3://media/a", "lyrics": "La", "alignment_mode": "even"}
REQUEST: dict[str, Any] = {"id": "plain", "type": "reel", "data": DATA}


@pytest.fixture(params=["ministack", "radosgw"])
def server(request: pytest.FixtureRequest, use_s3: Callable[[str], S3]) -> S3:
    """Return an S3 server."""
    return use_s3(request.param)


@pytest.fixture
def inbox(server: S3) -> str:
    """Yield an empty bucket."""
    name = f"test-{uuid.uuid4().hex[:16]}"
    server.client().create_bucket(Bucket=name)
    return name


def site_in(tmp_path: Path, storage: Storage, bucket: str, rules: Sequence[dict[str, Any]] = tuple(RULES)) -> Site:
    """Return a site whose rules name ``bucket``."""
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    migrate(database)
    return Site(database, tmp_path / "scratch", storage, [rule | {"bucket": bucket} for rule in rules])


def opened(server: S3, port: int | None = None) -> Storage:
    """Return the server as storage, optionally through a proxy."""
    url = server.url if port is None else f"http://127.0.0.1:{port}"
    return open_storage("s3", endpoint_url=url, path_style=True, attempts=1, read_timeout_seconds=4)


def put(server: S3, bucket: str, key: str, content: bytes) -> dict[str, Any]:
    """Upload an object and return the event that the server would send."""
    answer = server.client().put_object(Bucket=bucket, Key=key, Body=content)
    return notified(key, bucket=bucket, etag=answer["ETag"].strip('"'), version=answer.get("VersionId"))


@pytest.mark.parametrize("versions", [False, True], ids=["plain", "versioned"])
def test_a_pair_a_song_and_a_request_in_a_bucket_become_jobs(
    server: S3, inbox: str, tmp_path: Path, versions: bool
) -> None:
    if versions:
        server.client().put_bucket_versioning(Bucket=inbox, VersioningConfiguration={"Status": "Enabled"})
    site = site_in(tmp_path, opened(server), inbox)
    manifest = REQUEST | {"id": "order-1", "data": DATA | {"image": "ü +%.png"}}
    events = [
        put(server, inbox, "pairs/a b+é.jpg", b"picture"),
        put(server, inbox, "pairs/a b+é.mp3", b"sound"),
        put(server, inbox, "pairs/a b+é.txt", b"La\nlu"),
        put(server, inbox, "songs/x.mp3", b"sound"),
        put(server, inbox, "orders/1/x.request.json", json.dumps(manifest).encode()),
    ]
    site.door(*events, *events)
    site.process_uploads()
    assert site.letters() == []
    jobs = {job.id[: job.id.rfind("-")]: json.loads(job.request)["data"] for job in site.jobs()}
    assert set(jobs) == {"s3-a-b", "s3-x", "order"}
    assert jobs["s3-a-b"]["lyrics"] == "La\nlu"
    assert jobs["s3-a-b"]["image"] == f"s3://{inbox}/pairs/a b+é.jpg"
    assert jobs["order"]["image"] == f"s3://{inbox}/orders/1/ü +%.png"
    assert sum(job.duplicates for job in site.jobs()) == 7
    old = events[3]
    put(server, inbox, "songs/x.mp3", b"other sound")
    site.door(old)
    site.process_uploads()
    # A versioned bucket still has the version that the event names: a duplicate of the same job.
    assert [letter.code for letter in site.letters()] == ([] if versions else ["input_replaced"])
    assert sum(job.duplicates for job in site.jobs()) == 7 + versions


@pytest.fixture
def versioned(server: S3, inbox: str) -> str:
    """Yield an empty versioned bucket."""
    server.client().put_bucket_versioning(Bucket=inbox, VersioningConfiguration={"Status": "Enabled"})
    return inbox


def version_in(event: dict[str, Any]) -> str:
    """Return the version that the event names."""
    return str(event["Records"][0]["s3"]["object"]["versionId"])


def test_each_version_is_a_job_of_its_own_for_any_order_of_events(server: S3, versioned: str, tmp_path: Path) -> None:
    site = site_in(tmp_path, opened(server), versioned)
    events = [put(server, versioned, "songs/x.mp3", content) for content in (b"one", b"two", b"three")]
    server.client().delete_object(Bucket=versioned, Key="songs/x.mp3")
    for event in (events[2], events[0], events[1], events[0]):
        site.door(event)
        site.process_uploads()
    pins = [job.pins[f"s3://{versioned}/songs/x.mp3"] for job in site.jobs()]
    assert [pin.version for pin in pins] == [version_in(events[number]) for number in (2, 0, 1)]
    assert [job.duplicates for job in site.jobs()] == [0, 1, 0]
    assert site.letters() == []


def test_a_version_that_was_deleted_is_a_dead_letter_that_names_it(server: S3, versioned: str, tmp_path: Path) -> None:
    site = site_in(tmp_path, opened(server), versioned)
    event, _ = (put(server, versioned, "songs/x.mp3", content) for content in (b"one", b"two"))
    server.client().delete_object(Bucket=versioned, Key="songs/x.mp3", VersionId=version_in(event))
    site.door(event)
    site.process_uploads()
    assert site.jobs() == []
    assert (site.letter().code, version_in(event) in site.letter().message) == ("input_not_found", True)
    assert site.replay(site.letter()) == "input_not_found"


def test_a_request_file_is_read_in_the_version_of_its_event(server: S3, versioned: str, tmp_path: Path) -> None:
    site = site_in(tmp_path, opened(server), versioned)
    events = [
        put(server, versioned, "orders/x.request.json", json.dumps(REQUEST | {"id": name}).encode())
        for name in ("one", "two")
    ]
    site.door(*events)
    site.process_uploads()
    assert {job.id for job in site.jobs()} == {"one", "two"}
    assert [job.pins for job in site.jobs()] == [{}, {}]


def test_an_older_version_that_telecine_wrote_triggers_no_job(server: S3, versioned: str, tmp_path: Path) -> None:
    site = site_in(tmp_path, opened(server), versioned)
    key = "songs/made.mp3"
    made = server.client().put_object(Bucket=versioned, Key=key, Body=b"x", Metadata={"telecine-job": "j"})
    put(server, versioned, key, b"another writer's")
    site.door(notified(key, bucket=versioned, etag=made["ETag"].strip('"'), version=made["VersionId"]))
    site.process_uploads()
    assert (site.jobs(), site.letters(), site.waiting()) == ([], [], 0)


def test_the_job_of_a_replayed_event_uses_the_version_that_the_event_names(
    server: S3, versioned: str, tmp_path: Path
) -> None:
    broken = [{"bucket": versioned, "prefix": "songs/", "suffix": ".mp3", "manifest": True}]
    before = site_in(tmp_path, opened(server), versioned, broken)
    event = put(server, versioned, "songs/x.mp3", b"one")
    before.door(event)
    before.process_uploads()
    assert before.letter().code == "invalid_json"
    put(server, versioned, "songs/x.mp3", b"two")
    mended = site_in(tmp_path, opened(server), versioned)
    assert mended.replay(mended.letter()) == "admitted"
    assert mended.job().pins[f"s3://{versioned}/songs/x.mp3"].version == version_in(event)


def test_a_bucket_that_does_not_exist_is_a_dead_letter(server: S3, tmp_path: Path) -> None:
    site = site_in(tmp_path, opened(server), "no-such-bucket-anywhere")
    site.door(
        notified("songs/a.mp3", bucket="no-such-bucket-anywhere"),
        notified("pairs/a.mp3", bucket="no-such-bucket-anywhere"),
    )
    site.process_uploads()
    assert [letter.code for letter in site.letters()] == ["input_not_found"] * 2


def test_an_upload_waits_while_the_key_is_refused_friction_H3(
    use_s3: Callable[[str], S3], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, inbox = use_s3("radosgw"), f"test-{uuid.uuid4().hex[:16]}"  # ministack does not check signatures
    server.client().create_bucket(Bucket=inbox)
    event = put(server, inbox, "songs/a.mp3", b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong" * 8)
    site = site_in(tmp_path, opened(server), inbox)
    site.door(event)
    site.process_uploads()
    site.change(at=db_now() - RETRY_LIMIT_SECONDS - 1, due_at=0.0)
    site.process_uploads()
    assert (site.letters(), site.jobs()) == ([], [])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    site.change(due_at=0.0)
    site.process_uploads()  # with the same storage
    assert len(site.jobs()) == 1


@pytest.mark.parametrize(
    "fault", [Fault(refuse=True), Fault(black_hole=True), Fault(reset_after_bytes=0)], ids=["refuse", "hole", "reset"]
)
def test_an_object_store_that_does_not_respond_blocks_no_door_and_loses_no_upload(
    use_s3: Callable[[str], S3], tmp_path: Path, fault: Fault
) -> None:
    server, inbox = use_s3("ministack"), f"test-{uuid.uuid4().hex[:16]}"
    server.client().create_bucket(Bucket=inbox)
    events = [put(server, inbox, f"songs/{number}.mp3", b"x") for number in range(20)]
    with FaultProxy(int(server.url.rpartition(":")[2])) as proxy:
        site = site_in(tmp_path, opened(server, proxy.port), inbox)
        proxy.fault = fault
        thread = threading.Thread(target=site.loop.run, daemon=True)
        thread.start()
        started = time.monotonic()
        answers = site.door(*events, REQUEST)
        for number in range(50):
            site.door(REQUEST | {"id": f"plain-{number}"})
        assert time.monotonic() - started < 20  # a door that read the objects itself would wait 4 s for each of the 20
        assert answers[-1].wake is not None
        assert (len(site.jobs()), site.waiting()) == (51, 20)
        proxy.fault = Fault()
        wait_until(lambda: site.waiting() == 0, timeout=60, what=lambda: f"{site.waiting()} uploads wait")
        assert (len(site.jobs()), site.letters()) == (71, [])
        site.loop.stop()
        thread.join(10)
        assert not thread.is_alive()
