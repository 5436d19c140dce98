"""A field without a value: ``null`` for every optional field, and an empty string for those that are not texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from schemas.envelope import CallbackSpec, Request
from schemas.errors import RequestError
from schemas.job_types import JOB_TYPES
from schemas.parse import parse_request, recover_fields
from tests.contract.golden_corpus import corpus

TYPES = sorted(name for name, model in JOB_TYPES.items() if model.__module__.startswith("schemas."))
MINIMAL = {
    name: next(g.value for g in corpus("requests") if g.name == f"requests/{name}/minimal.json") for name in TYPES
}
#: Optional fields that are texts: an empty one keeps its own rules. All others are numbers, choices, names or URIs.
TEXTS = {"lyrics", "prompt", "negative_prompt", "hero_description"}
#: What the serialisers of Java, C# and Rust write for a request whose class has these properties.
JACKSON = {
    **dict.fromkeys(("output", "callback", "priority", "deadline", "not_before", "tenant", "plan_only", "metadata")),
    **dict.fromkeys(("traceparent", "tracestate", "specversion", "source", "subject", "time", "datacontenttype")),
}


def read(value: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> Request:
    request = parse_request(json.dumps(value).encode(), headers)
    assert isinstance(request, Request)
    return request


def refused(value: Mapping[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(RequestError) as caught:
        read(value)
    return caught.value.code, caught.value.field


def optional(kind: str, *, texts: bool = True) -> list[str]:
    """Return the optional fields of the type that its smallest request does not set."""
    fields = JOB_TYPES[kind].model_fields
    names = [name for name, field in fields.items() if not field.is_required() and name not in MINIMAL[kind]["data"]]
    return [name for name in names if texts or name not in TEXTS]


def with_data(kind: str, **changes: Any) -> dict[str, Any]:
    return MINIMAL[kind] | {"data": MINIMAL[kind]["data"] | changes}


@pytest.mark.parametrize("kind", TYPES, ids=[f"F5-{name}" for name in TYPES])
def test_null_for_every_optional_field_is_the_request_without_them(kind: str) -> None:
    plain = read(MINIMAL[kind])
    for spelling in (with_data(kind, **dict.fromkeys(optional(kind))), MINIMAL[kind] | JACKSON):
        request = read(spelling)
        assert request.identity() == plain.identity()
        assert request.to_job_request() == plain.to_job_request()


@pytest.mark.parametrize("kind", TYPES, ids=[f"gap_M1-{name}" for name in TYPES])
def test_an_empty_string_for_an_optional_field_that_is_not_a_text_is_the_request_without_it(kind: str) -> None:
    plain = read(MINIMAL[kind]).identity()
    names = optional(kind, texts=False)
    for changes in (*({name: ""} for name in names), dict.fromkeys(names, "")):
        assert read(with_data(kind, **changes)).identity() == plain, changes


@pytest.mark.parametrize("name", ["priority", "deadline", "not_before", "plan_only", "callback", "metadata", "time"])
def test_the_envelope_has_the_same_rule_gap_M1(name: str) -> None:
    assert read(MINIMAL["reel"] | {name: ""}).identity() == read(MINIMAL["reel"]).identity()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        pytest.param({"lyrics": "", "alignment_mode": "even"}, "lyrics_required", "data.lyrics", id="gap_M1-lyrics"),
        pytest.param({"image": ""}, "invalid_field", "data.image", id="gap_M1-required"),
        pytest.param({"font_size": " "}, "invalid_field", "data.font_size", id="gap_M1-blank"),
        pytest.param({"image": None}, "invalid_field", "data.image", id="F5-control-required"),
        pytest.param({"zoom": None}, "unknown_field", "data.zoom", id="F5-control-unknown"),
    ],
)
def test_a_reel_keeps_its_other_rules(changes: dict[str, Any], code: str, field: str) -> None:
    assert refused(with_data("reel", **changes)) == (code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        pytest.param({"id": None}, "invalid_field", "id", id="F5-control-id"),
        pytest.param({"type": None}, "missing_field", "type", id="F5-control-type"),
        pytest.param({"data": None}, "missing_field", "data", id="F5-control-data"),
        pytest.param({"callback": {"url": None}}, "invalid_field", "callback.url", id="F5-control-url"),
        pytest.param({"callback": {"url": ""}}, "invalid_field", "callback.url", id="gap_M1-control-url"),
        pytest.param(
            {"callback": {"url": "https://a.example", "events": [None]}},
            "invalid_field",
            "callback.events.0",
            id="F5-control-item",
        ),
        pytest.param({"output": ""}, "invalid_field", "output", id="gap_M1-control-output"),
        pytest.param({"tenant": ""}, "invalid_field", "tenant", id="gap_M1-control-tenant"),
        pytest.param({"source": "/a", "specversion": None}, "invalid_request", None, id="F5-control-half-an-event"),
    ],
)
def test_the_envelope_keeps_its_other_rules(changes: dict[str, Any], code: str, field: str | None) -> None:
    assert refused(MINIMAL["reel"] | changes) == (code, field)


def test_nulls_inside_objects_F5() -> None:
    url = {"url": "https://shop.example/hook"}
    nulls = dict.fromkeys(("events", "format", "secret_name"))
    assert read(MINIMAL["reel"] | {"callback": url | nulls}).callback == CallbackSpec(**url)
    game = {"format": "game", "url": None, "events": None, "secret_name": None}
    assert read(MINIMAL["image-to-video"] | {"callback": game}).callback == CallbackSpec(format="game")
    assert recover_fields({"callback": url | nulls})[1] == CallbackSpec(**url)
    film = read(with_data("image-to-video", parameters={"motion": 4, "style": None, "prompt": None}))
    assert film.identity() == read(with_data("image-to-video", parameters={"motion": 4})).identity()


def test_a_null_in_free_metadata_stays_F5_control() -> None:
    metadata = {"a": None, "b": {"c": None, "d": ""}, "e": [None]}
    assert read(MINIMAL["reel"] | {"metadata": metadata}).metadata == metadata


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"image": "s3://inbox/cover.jpg", "image_id": None}, id="F5-alias"),
        pytest.param({"image": None, "image_id": "s3://inbox/cover.jpg"}, id="F5-name"),
    ],
)
def test_one_of_two_names_of_an_image_may_be_null(data: dict[str, Any]) -> None:
    request = read({"id": "a", "type": "image-to-video", "data": data})
    assert getattr(request.data, "image") == "s3://inbox/cover.jpg"  # noqa: B009 - a field of one job type


def test_both_names_of_an_image_may_not_be_null_F5_control() -> None:
    value = {"id": "a", "type": "image-to-video", "data": {"image": None, "image_id": None}}
    assert refused(value) == ("invalid_field", "data.image")


def test_a_cancellation_without_a_tenant_F5() -> None:
    cancel = parse_request(b'{"type": "job.cancel", "data": {"id": "a"}, "tenant": null, "output": null}')
    assert (cancel.id, cancel.tenant) == ("a", None)
