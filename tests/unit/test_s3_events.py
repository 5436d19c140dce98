"""S3 events: every form is recognised by its shape, keys are decoded, and invalid values are refused by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from schemas.errors import InvalidEvent, InvalidJson, MessageTooLarge, TelecineError
from schemas.s3_events import MAX_RECORDS, Dropped, Upload, read_event
from tests.s3_messages import bridged, notified, wrapped

GOLDEN = Path(__file__).resolve().parents[1] / "contract" / "golden" / "s3-events"
VERSION = "096fKKXTRTtl3on89fVO.nfljtsv6qko"
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"

#: The upload in each recorded message; ``None`` for messages that need no action.
MEANING: dict[str, Upload | None] = {
    "aws-put": Upload("amzn-s3-demo-bucket", "HappyFace.jpg", VERSION, EMPTY, "0055AED6DCD90281E5"),
    "aws-multipart-with-encoded-key": Upload(
        "amzn-s3-demo-bucket", "in/a b+é.wav", None, "3858f62230ac3c915f300c664312c11f-9", "0055AED6DCD90281E5"
    ),
    "aws-removed": None,
    "aws-test": None,
    "sns-put": Upload("amzn-s3-demo-bucket", "HappyFace.jpg", VERSION, EMPTY, "0055AED6DCD90281E5"),
    "sns-test": None,
    "eventbridge-created": Upload(
        "amzn-s3-demo-bucket1",
        "example-key",
        "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
        "b1946ac92492d2347c6235b4d2611184",
        "617f08299329d189",
    ),
    "eventbridge-created-with-plain-key": Upload(
        "amzn-s3-demo-bucket1", "in/a b+é%20.wav", None, "b1946ac92492d2347c6235b4d2611184", "617f08299329d189"
    ),
    "eventbridge-deleted": None,
    "sns-eventbridge-created": Upload(
        "amzn-s3-demo-bucket1",
        "example-key",
        "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
        "b1946ac92492d2347c6235b4d2611184",
        "617f08299329d189",
    ),
    "minio-put": Upload("images", "in/a b+é.wav", "1", EMPTY, "163472B7C4E2E5A8"),
    "ceph-put": Upload("mybucket1", "in/a b+é%2B.wav", None, "37b51d194a7513e45b56f6524f2d51f2", "F7E6D75DC742D108"),
}


def test_every_recorded_message_has_a_documented_meaning() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(MEANING)


@pytest.mark.parametrize("name", MEANING)
def test_a_recorded_message_is_read_as_when_it_was_recorded(name: str) -> None:
    records = read_event(json.loads((GOLDEN / f"{name}.json").read_text()))
    assert records is not None
    (record,) = records
    if MEANING[name] is None:
        assert isinstance(record.content, Dropped)
    else:
        assert record.content == MEANING[name]
    again = read_event(record.as_single_event)
    assert again is not None
    assert [found.content for found in again] == [record.content]


@pytest.mark.parametrize(
    "message",
    [
        {"id": "j", "type": "reel", "data": {}},
        {"id": "j", "type": "reel", "data": {}, "Records": [{}]},
        {"type": "reel", "Type": "Notification", "Message": "{}"},
        {"id": "j", "data": {}, "detail-type": "Object Created", "detail": {}},
        {"type": "job.cancel", "data": {"id": "j"}, "Event": "s3:TestEvent"},
        {"specversion": "1.0", "source": "/s", "type": "reel", "id": "1", "Records": []},
        {"id": "j"},
        {"Event": "s3:AnotherEvent"},
        {"Type": "Notification"},
        {"Message": "{}"},
        {"records": [{}]},
        {},
    ],
)
def test_a_request_is_never_taken_for_an_event(message: dict[str, Any]) -> None:
    assert read_event(message) is None


@pytest.mark.parametrize("records", [[], {}, None, "x", 1, [{}] * (MAX_RECORDS + 1)], ids=lambda r: str(r)[:10])
def test_records_that_are_not_a_short_list_are_refused_as_a_whole(records: Any) -> None:
    with pytest.raises(InvalidEvent, match="Records"):
        read_event({"Records": records})


@pytest.mark.parametrize(
    ("message", "error", "reason"),
    [
        ({"Type": "Notification", "Message": 1}, InvalidEvent, "must be a string"),
        ({"Type": "Notification", "Message": "no JSON"}, InvalidJson, "not valid JSON"),
        ({"Type": "Notification", "Message": "[]"}, InvalidJson, "array"),
        ({"Type": "Notification", "Message": '{"a": 1, "a": 2}'}, InvalidJson, "twice"),
        ({"Type": "Notification", "Message": '{"a":' * 40 + "1" + "}" * 40}, InvalidJson, "deeper"),
        ({"Type": "Notification", "Message": '{"a": "\\u0000"}'}, InvalidJson, "NUL"),
        ({"Type": "Notification", "Message": json.dumps({"a": "x" * 300_000})}, MessageTooLarge, "limit"),
        ({"Type": "Notification", "Message": '{"id": "j", "type": "reel", "data": {}}'}, InvalidEvent, "raw message"),
        (wrapped(wrapped(notified("k"))), InvalidEvent, "is not an S3 event"),
        ({"Type": "SubscriptionConfirmation", "Message": "…"}, InvalidEvent, "confirm"),
    ],
)
def test_an_sns_message_without_a_valid_event_is_refused(
    message: dict[str, Any], error: type[TelecineError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        read_event(message)


WRONG: list[Any] = [None, 1, True, "", [], {}, [[]], {"a": 1}, "x" * 5_000]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize(
    "path",
    [
        "Records.0",
        "Records.0.eventName",
        "Records.0.s3",
        "Records.0.s3.bucket",
        "Records.0.s3.bucket.name",
        "Records.0.s3.object",
        "Records.0.s3.object.key",
        "detail",
        "detail.bucket",
        "detail.bucket.name",
        "detail.object",
        "detail.object.key",
        "source",
        "detail-type",
    ],
)
def test_an_invalid_value_anywhere_is_an_error_that_names_the_field(path: str, value: Any) -> None:
    message = notified("song.mp3") if path.startswith("Records") else bridged("song.mp3")
    _put(message, path.split("."), value)
    records = read_event(message)
    assert records is not None
    content = records[0].content
    if isinstance(content, Dropped):  # the changed value makes it an event of another kind
        assert path in ("Records.0.eventName", "detail-type")
        return
    assert isinstance(content, InvalidEvent)
    assert content.field is not None
    assert content.field in content.message


def _put(message: Any, path: list[str], value: Any) -> None:
    for step in path[:-1]:
        message = message[int(step) if step.isdigit() else step]
    message[int(path[-1]) if path[-1].isdigit() else path[-1]] = value


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a%00b", "NUL"),
        ("%ff", "UTF-8"),
        ("%ed%a0%80", "UTF-8"),
        ("100%", "escape"),
        ("a%zz", "escape"),
        ("k" * 1_025, "1,024 bytes"),
        ("%C3%A9" * 513, "1,024 bytes"),
    ],
)
def test_an_impossible_object_key_is_refused(key: str, reason: str) -> None:
    message = notified("x")
    message["Records"][0]["s3"]["object"]["key"] = key
    records = read_event(message)
    assert records is not None
    assert isinstance(records[0].content, InvalidEvent)
    assert reason in records[0].content.message


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3:::inbox",
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/uploads",
        "uploads-abcdefghijklmnop1234567890-s3alias",
        "inbox/../other",
        "in",
        "b" * 64,
        "s3://inbox",
        "inbox\u202e",
    ],
)
def test_a_bucket_that_is_an_arn_an_access_point_or_not_a_name_is_refused(bucket: str) -> None:
    for message in (notified("k", bucket=bucket), bridged("k", bucket=bucket)):
        records = read_event(message)
        assert records is not None
        assert isinstance(records[0].content, InvalidEvent)
        assert "bucket" in records[0].content.message


@pytest.mark.parametrize(
    "key",
    ["../x", "a/../b", "%2e%2e/x", "\u202egpj.exe", "dot.", "a//b", "/a", "a b+c", "k" * 1_024, "é" * 512, "a?b#c&d"],
    ids=lambda key: key[:8],
)
def test_an_unusual_key_is_read_unchanged_from_every_form(key: str) -> None:
    for message in (
        notified(key),
        notified(key, source="minio:s3"),
        notified(key, source="ceph:s3"),
        bridged(key),
        wrapped(notified(key)),
    ):
        records = read_event(message)
        assert records is not None
        assert isinstance(records[0].content, Upload)
        assert records[0].content.key == key


KEY = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=250)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NAMES = st.sampled_from(
    [
        "Records",
        "Type",
        "Message",
        "Event",
        "detail",
        "detail-type",
        "source",
        "s3",
        "bucket",
        "object",
        "key",
        "name",
        "eventName",
        "eventSource",
        "type",
        "data",
    ]
)
WORDS = st.sampled_from(["Notification", "s3:TestEvent", "Object Created", "aws.s3", "ObjectCreated:Put", "inbox", "k"])
ALMOST = st.recursive(
    WORDS | st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@given(KEY)
def test_every_key_is_read_unchanged_from_every_form(key: str) -> None:
    forms = [notified(key), notified(key, source="minio:s3"), notified(key, source="ceph:s3"), bridged(key)]
    for message in [*forms, *map(wrapped, forms)]:
        records = read_event(json.loads(json.dumps(message)))
        assert records is not None
        content = records[0].content
        assert content == (Upload("inbox", key) if len(key.encode()) <= 1_024 else content)


@given(st.dictionaries(NAMES | st.text(max_size=8), ALMOST | JSON, max_size=8))
def test_any_message_is_an_event_an_error_or_something_else(message: dict[str, Any]) -> None:
    try:
        records = read_event(message)
    except TelecineError:
        return
    assert records is None or records
    for record in records or ():
        if isinstance(record.content, Upload):
            assert len(record.content.key.encode()) <= 1_024
