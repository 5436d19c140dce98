"""Uploads without content, and duplicates of requests that the rules no longer permit."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from consumer.admission.batch import BatchAdmitter
from consumer.admission.message import IncomingMessage
from consumer.admission.policy import AdmissionPolicy
from consumer.ledger import dead_letters, queries
from providers.http.policy import Policy
from schemas.s3_events import Upload, read_event
from tests.ledger_views import Ledger
from tests.s3_messages import bridged, notified
from tests.upload_site import LIMIT, Make, Site

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture
def make(ledger: Ledger, tmp_path: Path) -> Make:
    """Return a factory of sites on one ledger."""
    return lambda **more: Site(ledger.a, tmp_path / "scratch", **more)


def empty(event: dict[str, Any], size: int | None = 0) -> dict[str, Any]:
    """Return the event as it is for an object without content; MinIO leaves the size out."""
    thing = event["detail"]["object"] if "detail" in event else event["Records"][0]["s3"]["object"]
    thing["size"] = size
    if size is None:
        del thing["size"]
    return event


def put(site: Site, key: str, content: bytes) -> str:
    return site.add(key, content)


EVENTS = {
    "F15-s3": empty(notified("songs/a.mp3", etag=EMPTY_MD5)),
    "F15-minio-without-size": empty(notified("songs/a.mp3", etag=EMPTY_MD5, source="minio:s3"), None),
    "F15-ceph": empty(notified("songs/a.mp3", etag=f'"{EMPTY_MD5}"', source="ceph:s3")),
    "F15-eventbridge": empty(bridged("songs/a.mp3", etag=EMPTY_MD5)),
    "F15-no-etag": empty(notified("songs/a.mp3")),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
@pytest.mark.parametrize("filled_before", [True, False])
def test_an_object_that_is_created_empty_and_then_filled_makes_one_job(
    event: dict[str, Any], filled_before: bool, make: Make
) -> None:
    site = make()
    site.add("songs/a.mp3", b"song" if filled_before else b"")
    site.door(event)
    site.process_uploads()
    etag = site.add("songs/a.mp3", b"song")
    site.door(notified("songs/a.mp3", etag=etag))
    site.process_uploads()
    assert site.letters() == []
    assert site.job().duplicates == 0
    assert site.waiting() == 0


def test_an_object_that_turns_out_to_be_empty_asks_for_nothing_F15(make: Make) -> None:
    site = make()
    for key in ("songs/a.mp3", "orders/a.request.json"):
        site.add(key, b"")
        site.door(notified(key))
    site.process_uploads()
    assert (site.letters(), site.woken, site.waiting()) == ([], [], 0)


def test_in_a_pair_an_empty_part_is_not_there_yet_F15(make: Make) -> None:
    site = make()
    contents = {"png": b"picture", "mp3": b"", "txt": b"La"}
    for ending, content in contents.items():
        site.add(f"pairs/a.{ending}", content)
        site.door(notified(f"pairs/a.{ending}"))
    site.process_uploads()
    assert (site.letters(), site.woken) == ([], [])
    site.add("pairs/a.mp3", b"song")
    site.door(notified("pairs/a.mp3"))
    site.process_uploads()
    assert site.letters() == []
    assert site.job().duplicates == 0


@pytest.mark.parametrize("size", [1, None, False, "0"])
def test_an_event_that_does_not_say_empty_is_not_taken_for_it_F15_control(size: Any) -> None:
    event = empty(notified("songs/a.mp3", etag="0" * 32), size)
    (record,) = read_event(event) or ()
    assert isinstance(record.content, Upload)
    assert not record.content.empty


def test_a_compressed_event_is_kept_so_that_it_can_be_read_later_F23(make: Make) -> None:
    site = make()
    etag = site.add("songs/a.mp3")
    body = gzip.compress(json.dumps(notified("songs/a.mp3", etag=etag)).encode())
    site.admitter([IncomingMessage(body, "amqp", "uploads", {"content-encoding": "gzip"})])
    site.process_uploads()
    assert site.letters() == []
    assert site.job().duplicates == 0


POLICY = AdmissionPolicy(
    roles={"image-to-prompt": "render"},
    secret_names=frozenset(),
    policy=Policy(allowed_hosts=frozenset({"127.0.0.1"})),
    max_message_bytes=LIMIT,
)


def request(**fields: Any) -> IncomingMessage:
    value = {"id": "j", "type": "image-to-prompt", "data": {"image": "s3://inbox/c.png"}}
    value["callback"] = {"url": "http://127.0.0.1/hook"}
    return IncomingMessage(json.dumps(value | fields).encode(), "amqp", "q")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"policy": Policy()}, id="friction-L-address"),
        pytest.param({"roles": {}}, id="friction-L-type"),
    ],
)
def test_the_duplicate_of_a_job_is_a_duplicate_although_the_rules_have_changed(
    changed: dict[str, Any], ledger: Ledger
) -> None:
    BatchAdmitter(ledger.a, POLICY)([request()])
    later = BatchAdmitter(ledger.a, dataclasses.replace(POLICY, **changed))
    (result,) = later([request()])
    assert (result.error, result.wake) == (None, None)
    job = queries.find_job(ledger.b, "j")
    assert job is not None
    assert job.duplicates == 1
    assert dead_letters.list_newest(ledger.b, limit=9) == []
    for other in (request(metadata={"n": 2}), request(id="k"), request(tenant="t")):
        (result,) = later([other])
        assert result.error is not None
        assert result.error.code in ("address_forbidden", "unknown_type")


def test_an_unreadable_trace_context_is_in_the_timeline_F20(ledger: Ledger) -> None:
    BatchAdmitter(ledger.a, POLICY)([request(traceparent="00-ABC")])
    (received,) = queries.timeline_of(ledger.b, "j")
    assert (received.event, received.detail["traceparent_ignored"]) == ("received", "00-ABC")
    assert "traceparent" not in received.detail
