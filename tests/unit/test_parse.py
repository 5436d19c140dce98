"""Parsing of messages: the envelope in its three forms, its limits, and the identity of a request."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from consumer.ledger.admission import build_submission
from schemas.envelope import Cancel, Request
from schemas.errors import RequestError
from schemas.parse import parse_mapping, parse_request, recover_fields

DATA = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "First\nSecond", "alignment_mode": "even"}
PLAIN: dict[str, Any] = {"id": "order-1042", "type": "reel", "data": DATA}
FULL = PLAIN | {
    "output": "s3://results/orders/1042/",
    "callback": {"url": "https://shop.example/hooks/media", "events": ["completed", "failed"]},
    "metadata": {"customer": "c-17"},
    "priority": "high",
    "deadline": 90,
    "tenant": "shop-1",
    "plan_only": True,
}
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def read(value: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> Request:
    """Parse a message as a request."""
    request = parse_request(json.dumps(value).encode(), headers)
    assert isinstance(request, Request)
    return request


def refusal(value: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> RequestError:
    """Return the error that a message is refused with."""
    with pytest.raises(RequestError) as caught:
        parse_request(json.dumps(value).encode(), headers)
    return caught.value


def fingerprint(request: Request) -> str:
    """Return the identity of the request in a message: equal for equal requests."""
    return build_submission(request, role="render", door="test").fingerprint


def headers_of(value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the envelope of a request as headers of a binary-mode CloudEvent."""
    known = {name: item for name, item in value.items() if name != "data"}
    known |= {"specversion": "1.0", "source": "/shop"}
    texts = {name: json.dumps(item) if isinstance(item, dict | bool) else str(item) for name, item in known.items()}
    return {prefix + name: text for name, text in texts.items()} | {"content-type": "application/json", "x-other": 1}


def test_a_plain_request_has_the_defaults_of_the_contract() -> None:
    request = read(PLAIN | {"callback": {"url": "https://shop.example/hook"}})
    assert (request.id, request.type) == ("order-1042", "reel")
    assert (request.priority, request.plan_only) == ("normal", False)
    assert (request.output, request.deadline, request.tenant, request.metadata) == (None, None, None, None)
    assert request.callback is not None
    assert request.callback.events == ["completed", "failed"]
    assert request.callback.format == "standard"
    assert request.callback.secret_name is None


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "ce-", "ce_", "CE-"])
def test_the_same_request_is_the_same_job_plain_structured_and_binary(prefix: str) -> None:
    plain = read(FULL)
    structured = read(FULL | {"specversion": "1.0", "source": "/shop", "subject": "o", "time": "2026-01-01T00:00:00Z"})
    binary = read(DATA, headers_of(FULL, prefix))
    as_bytes = read(DATA, {name: str(text).encode() for name, text in headers_of(FULL, prefix).items()})
    assert len({fingerprint(request) for request in (plain, structured, binary, as_bytes)}) == 1
    assert binary.callback == plain.callback
    assert (structured.subject, structured.source, binary.source) == ("o", "/shop", "/shop")
    assert structured.time == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_a_binary_event_may_name_its_callback_by_the_url_alone() -> None:
    headers = headers_of(PLAIN, "ce-") | {"ce-callback": "https://shop.example/hook", "ce-planonly": "true"}
    request = read(DATA, headers)
    assert request.callback is not None
    assert request.callback.url == "https://shop.example/hook"
    assert request.plan_only


def test_headers_without_a_specversion_change_nothing() -> None:
    assert read(PLAIN, {"ce-id": "other", "id": "another", "content-type": "application/json"}).id == "order-1042"


@pytest.mark.parametrize(
    "changes",
    [
        {"deadline": "²"},
        {"deadline": "."},
        {"metadata": '{"a": "\ud800"}'},
        {"metadata": "{"},
        {"metadata": "text"},
        {"subject": "a\x00"},
        {"subject": "\ud800"},
        {"\x00": "x"},
        {"id": b"\xff"},
        {"priority": ["high"]},
        {"callback": "{"},
        {"specversion": "0.3"},
        {"type": 7},
        {"deadline": b"\x00"},
        {"zoom": "2"},
    ],
)
def test_an_invalid_header_is_refused(changes: dict[str, Any]) -> None:
    headers = headers_of(PLAIN, "ce-") | {f"ce-{name}": value for name, value in changes.items()}
    assert refusal(DATA, headers).code in ("invalid_field", "invalid_json", "unknown_field")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"id": ...}, "missing_field", "id"),
        ({"type": ...}, "missing_field", "type"),
        ({"data": ...}, "missing_field", "data"),
        ({"data": None}, "missing_field", "data"),
        ({"type": ["reel"]}, "invalid_field", "type"),
        ({"data": "x"}, "invalid_field", "data"),
        ({"data": [DATA]}, "invalid_field", "data"),
        ({"type": "hologram"}, "unknown_type", "type"),
        ({"type": "x" * 10_000}, "unknown_type", "type"),
        ({"type": ""}, "unknown_type", "type"),
        ({"colour": 1}, "unknown_field", "colour"),
        ({"callback": {"url": "https://a.example", "retries": 3}}, "unknown_field", "callback.retries"),
        ({"callback": {}}, "missing_field", "callback.url"),
        ({"callback": "https://a.example"}, "invalid_field", "callback"),
        ({"callback": {"url": "https://a.example", "events": ["done"]}}, "invalid_field", "callback.events.0"),
        ({"callback": {"url": "https://a.example", "events": ["failed"] * 5}}, "invalid_field", "callback.events"),
        ({"callback": {"url": "https://a.example", "format": "xml"}}, "invalid_field", "callback.format"),
        ({"callback": {"url": "https://a.example", "secret_name": ""}}, "invalid_field", "callback.secret_name"),
        ({"specversion": "1.0"}, "invalid_request", None),
        ({"source": "/shop"}, "invalid_request", None),
        ({"specversion": "2.0", "source": "/shop"}, "invalid_field", "specversion"),
        ({"specversion": "1.0", "source": "/shop", "time": 1_700_000_000}, "invalid_field", "time"),
    ],
)
def test_an_error_names_its_code_and_the_field(changes: dict[str, Any], code: str, field: str | None) -> None:
    error = refusal({name: value for name, value in (PLAIN | changes).items() if value is not ...})
    assert (error.code, error.field) == (code, field)
    assert len(error.message) < 1_000


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("id", ["a", "A-z0.9_:-", "x" * 128], ["", "x" * 129, "a b", "a/b", "a\n", "é", 7, None, ["a"]]),
        (
            "output",
            ["s3://abc", "s3://abc/", "s3://results/a b/ü"],
            [
                "",
                "abc/",
                "/tmp/x",
                "https://abc/x",
                "s3://",
                "s3:///x",
                "s3://ab/",
                "s3://a/../b",
                "s3://abc/../b",
                "s3://abc/./b",
                "s3://abc/a//b",
                "s3://abc/.",
                "s3://arn:aws:s3/x",
                "s3://" + "b" * 64,
                "s3://abc/" + "x" * 1024,
                5,
            ],
        ),
        ("priority", ["high", "normal", "low", None, ""], ["urgent", 5, []]),
        (
            "deadline",
            [1, 0.5, 31_536_000, "2026-01-01T00:00:00Z", "2026-01-01t00:00:00.25+05:30", None, ""],
            [
                0,
                -1,
                31_536_001,
                1_800_000_000,
                True,
                "30",
                "1700000000",
                "2026-01-01",
                "2026-01-01T00:00:00",
                "2026-13-01T00:00:00Z",
                "soon",
                10**400,
                {},
                [],
            ],
        ),
        ("tenant", ["a", "A.b_c-9", "x" * 64, None], ["", "x" * 65, "a b", "a/b", "../x", 7]),
        ("plan_only", [True, False, None, ""], ["perhaps", 2, {}]),
        ("metadata", [{}, None, {"a": "x" * 4087}], [[], "text", {"a": "x" * 4088}, {"a": "é" * 2044}]),
        ("traceparent", ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", None, "", "00-A-b-01", "x" * 55, 7], []),
    ],
)
def test_every_field_of_the_envelope_has_its_limits(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        read(PLAIN | {field: value})
    for value in bad:
        error = refusal(PLAIN | {field: value})
        assert (error.code, error.field) == ("invalid_field", field), value
        assert error.message.startswith(f"{field}: "), value


@pytest.mark.parametrize(
    "url", ["ftp://a.example", "a.example", "", "https://", "https://a b", "https://a/" + "x" * 2048, 7]
)
def test_a_callback_needs_a_web_address(url: Any) -> None:
    error = refusal(PLAIN | {"callback": {"url": url}})
    assert (error.code, error.field) == ("invalid_field", "callback.url")


def test_json_that_is_not_a_request_is_an_invalid_request() -> None:
    value: dict[str, Any]
    for value in ({}, {"Records": []}, {"hello": "world"}):
        assert refusal(value).code == "invalid_request"


def test_unknown_fields_are_named_and_the_known_ones_of_that_place_listed() -> None:
    assert refusal(PLAIN | {"zoom": 1, "x": 2}).message.startswith(
        "unknown fields: zoom, x; available in a request: id, type, data, output, callback,"
    )
    nested = refusal(PLAIN | {"callback": {"url": "https://a.example", "retry": 1}})
    assert nested.message == "unknown field: callback.retry; available in callback: url, events, format, secret_name"


def test_a_deadline_is_a_number_of_seconds_from_receipt_or_a_time() -> None:
    assert read(PLAIN | {"deadline": 90}).deadline_at(1000.0) == 1090.0
    assert read(PLAIN | {"deadline": "1970-01-01T01:00:10+01:00"}).deadline_at(1000.0) == 10.0
    assert read(PLAIN).deadline_at(1000.0) is None


def test_a_cancellation_contains_only_the_id_of_a_job() -> None:
    cancel = parse_request(b'{"type": "job.cancel", "data": {"id": "order-1042"}}')
    assert isinstance(cancel, Cancel)
    assert cancel.id == "order-1042"
    for data in ({}, {"id": ""}, {"id": "a b"}, {"id": "a", "why": "x"}):
        assert refusal({"type": "job.cancel", "data": data}).field in ("data.id", "data.why")


def test_order_and_spaces_do_not_change_the_fingerprint() -> None:
    shuffled = {name: FULL[name] for name in sorted(FULL, reverse=True)}
    shuffled["data"] = dict(reversed(DATA.items()))
    spaced = parse_request(json.dumps(shuffled, indent=4).encode())
    assert isinstance(spaced, Request)
    assert fingerprint(spaced) == fingerprint(read(FULL))
    assert fingerprint(read(PLAIN | {"output": "s3://results/a"})) == fingerprint(
        read(PLAIN | {"output": "s3://results/a/"})
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "order-1043"},
        {"data": DATA | {"lyrics": "First\nThird"}},
        {"data": DATA | {"font_size": 46}},
        {"output": "s3://other/"},
        {"callback": {"url": "https://shop.example/other"}},
        {"metadata": {"customer": "c-18"}},
        {"priority": "low"},
        {"deadline": 91},
        {"tenant": "shop-2"},
        {"plan_only": False},
    ],
)
def test_other_content_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint(read(FULL | changes)) != fingerprint(read(FULL))


def test_the_transport_of_a_request_is_not_part_of_its_identity() -> None:
    trace = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    assert fingerprint(read(FULL | trace)) == fingerprint(read(FULL))


def test_a_stored_request_is_read_back_as_the_same() -> None:
    for value in (PLAIN, FULL, FULL | {"deadline": "2026-01-01T00:00:00.5+05:30"}):
        request = read(value)
        again = parse_mapping(request.identity())
        assert isinstance(again, Request)
        assert again.identity() == request.identity()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FULL)), VALUE, st.sampled_from(sorted(DATA)), VALUE)
def test_any_value_in_any_field_is_a_request_or_a_named_error(field: str, value: Any, inner: str, other: Any) -> None:
    for changed in (FULL | {field: value}, FULL | {"data": DATA | {inner: other}}, {**FULL, str(value)[:5]: other}):
        try:
            request = read(changed)
        except RequestError:
            continue
        assert parse_mapping(request.identity()).id == request.id


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*FULL, "specversion", "source", "time"]), VALUE, max_size=6), st.booleans())
def test_any_object_is_a_request_or_a_named_error_and_its_valid_fields_are_recovered(value: Any, binary: bool) -> None:
    headers = {f"ce-{name}": item for name, item in value.items()} if binary else None
    with pytest.raises(RequestError):
        parse_request(json.dumps(value).encode(), headers)
    job_id, callback, metadata = recover_fields(value)
    assert job_id is None or value["id"].startswith(job_id)
    assert callback is None or value["callback"]["url"] == callback.url
    assert metadata is None or value["metadata"] == metadata
