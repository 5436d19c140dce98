"""Requests as CloudEvents: binary and structured mode, content types, and headers that contradict each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from consumer.ledger.admission import build_submission
from schemas.envelope import Cancellation, Request
from schemas.errors import RequestError
from schemas.parse import parse_request

DATA = {"image": "s3://inbox/c.jpg", "audio": "s3://inbox/s.mp3", "lyrics": "First", "alignment_mode": "even"}
PLAIN: dict[str, Any] = {
    "id": "order-1042",
    "type": "reel",
    "data": DATA,
    "output": "s3://results/o/",
    "priority": "high",
    "deadline": 90,
    "tenant": "shop-1",
    "plan_only": True,
    "metadata": {"customer": "c-17"},
    "callback": {"url": "https://shop.example/hooks", "events": ["completed"]},
}
#: The same request from a strict CloudEvents client: strings, numbers and booleans only, no underscores in names.
STRICT: dict[str, Any] = {
    "specversion": "1.0",
    "source": "/shop",
    "id": "order-1042",
    "type": "reel",
    "output": "s3://results/o/",
    "priority": "high",
    "deadline": "90",
    "tenant": "shop-1",
    "planonly": True,
    "metadata": '{"customer": "c-17"}',
    "callback": '{"url": "https://shop.example/hooks", "events": ["completed"]}',
}
STRUCTURED = "application/cloudevents+json"


def read(value: Any, headers: Mapping[str, Any] | None = None) -> Request:
    request = parse_request(json.dumps(value).encode(), headers)
    assert isinstance(request, Request)
    return request


def refusal(value: Any, headers: Mapping[str, Any] | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_request(value if isinstance(value, bytes) else json.dumps(value).encode(), headers)
    return caught.value


def identity(request: Request) -> str:
    return build_submission(request, role="render", door="test").fingerprint


@pytest.mark.parametrize("content_type", [STRUCTURED, f"{STRUCTURED}; charset=UTF-8", "application/json", None])
def test_a_strict_structured_event_is_the_same_job_as_the_plain_request(content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    event = STRICT | {"data": DATA, "datacontenttype": "application/json", "subject": None}
    assert identity(read(event, headers)) == identity(read(PLAIN))


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "ce-", "ce_"])
@pytest.mark.parametrize("content_type", ["application/json", "application/vnd.shop+json; charset=utf-8", None])
def test_a_strict_binary_event_is_the_same_job_as_the_plain_request(prefix: str, content_type: str | None) -> None:
    headers = {prefix + name: value for name, value in STRICT.items()} | {"content-type": content_type}
    assert identity(read(DATA, headers)) == identity(read(PLAIN))


def test_a_structured_event_may_repeat_its_attributes_in_headers_and_its_body_counts() -> None:
    headers = {"content-type": STRUCTURED, "ce-specversion": "1.0", "ce-id": "of-the-header"}
    assert read(STRICT | {"data": DATA}, headers).id == "order-1042"


def test_an_event_in_headers_and_body_at_once_is_refused_unless_the_content_type_decides() -> None:
    error = refusal(STRICT | {"data": DATA}, {"ce-specversion": "1.0", "ce-id": "a"})
    assert error.code == "invalid_request"
    assert "are a CloudEvent" in error.message


@pytest.mark.parametrize(
    "headers",
    [
        {"cloudEvents:id": "a", "cloudEvents_id": "b"},
        {"ce-id": "a", "ce_id": "b"},
        {"ce-id": "a", "CE-ID": "b"},
        {"cloudEvents:id": "a", "ce-id": b"b"},
    ],
)
def test_two_spellings_of_one_attribute_that_disagree_are_refused(headers: dict[str, Any]) -> None:
    base = {"ce-specversion": "1.0", "ce-source": "/shop", "ce-type": "reel"}
    error = refusal(DATA, base | headers)
    assert (error.code, error.field) == ("invalid_field", "id")


def test_two_spellings_that_agree_are_one() -> None:
    headers = {"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "reel", "ce-id": "a", "cloudEvents:id": b"a"}
    assert read(DATA, headers | {"ce-planonly": True, "ce-plan_only": True}).plan_only


def test_planonly_and_plan_only_that_disagree_are_refused_in_both_modes() -> None:
    for event, headers in (
        (STRICT | {"data": DATA, "plan_only": False}, {}),
        (DATA, {f"ce-{name}": value for name, value in (STRICT | {"plan_only": False}).items()}),
    ):
        assert refusal(event, headers).field == "plan_only"


@pytest.mark.parametrize(
    "content_type",
    ["application/xml", "text/plain", "application/json; charset=utf-16", "image/jpeg", "application/jsonp"],
)
def test_data_of_another_content_type_than_json_are_refused_in_every_mode(content_type: str) -> None:
    binary = {f"ce-{name}": value for name, value in STRICT.items()}
    for value, headers in (
        (DATA, binary | {"content-type": content_type}),
        (b"<reel/>", binary | {"ce-datacontenttype": content_type}),
        (STRICT | {"data": DATA, "datacontenttype": content_type}, {}),
    ):
        error = refusal(value, headers)
        assert (error.code, error.field) == ("invalid_field", "datacontenttype")


def test_a_content_type_that_contradicts_the_attribute_is_refused() -> None:
    binary = {f"ce-{name}": value for name, value in STRICT.items()}
    headers = binary | {"ce-datacontenttype": "application/json", "content-type": "application/xml"}
    assert "must be the same" in refusal(DATA, headers).message


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/data", ""])
def test_without_a_content_type_the_data_are_json(content_type: str) -> None:
    binary = {f"ce-{name}": value for name, value in STRICT.items()}
    assert read(DATA, binary | {"content-type": content_type}).id == "order-1042"


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents-batch+json", "application/cloudevents+xml", "application/cloudevents+avro"],
)
def test_batches_and_other_formats_are_refused_with_what_to_send_instead(content_type: str) -> None:
    error = refusal([STRICT | {"data": DATA}], {"content-type": content_type})
    assert error.code == "invalid_request"
    assert "application/cloudevents+json" in error.message


def test_a_content_type_of_events_needs_an_event() -> None:
    assert "no specversion" in refusal(PLAIN, {"content-type": STRUCTURED}).message


def test_binary_data_in_an_event_is_refused_by_name() -> None:
    assert "data_base64" in refusal(STRICT | {"data_base64": "e30="}).message


def test_extensions_that_brokers_and_tracers_add_do_no_harm_and_others_are_named() -> None:
    passing = {"tracestate": "a=b", "partitionkey": "p", "sequence": "1", "sequencetype": "Integer", "sampledrate": 2}
    assert identity(read(STRICT | passing | {"data": DATA})) == identity(read(PLAIN))
    error = refusal(STRICT | {"data": DATA, "colour": "red"})
    assert (error.code, error.field) == ("unknown_field", "colour")
    # Brokers add no fields to a plain request, so an unknown name is a mistake.
    assert refusal(PLAIN | {"partitionkey": "p"}).field == "partitionkey"
    assert refusal(PLAIN | {"planonly": True}).field == "planonly"


def test_a_plain_request_may_have_any_content_type() -> None:
    for content_type in ("text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "?"):
        assert read(PLAIN, {"content-type": content_type}).id == "order-1042"


@pytest.mark.parametrize("binary", [False, True])
def test_a_cancellation_may_be_an_event_and_name_its_tenant(binary: bool) -> None:
    event = {"specversion": "1.0", "source": "/shop", "id": "e-1", "type": "job.cancel", "tenant": "shop-1"}
    data = {"id": "order-1042"}
    body, headers = (data, {f"ce-{n}": v for n, v in event.items()}) if binary else (event | {"data": data}, {})
    assert parse_request(json.dumps(body).encode(), headers) == Cancellation(id="order-1042", tenant="shop-1")


def test_the_tenant_of_a_cancellation_must_not_be_in_its_data() -> None:
    assert refusal({"type": "job.cancel", "data": {"id": "a", "tenant": "b"}}).field == "data.tenant"
    assert refusal({"type": "job.cancel", "data": {"id": "a"}, "tenant": "a b"}).field == "tenant"
