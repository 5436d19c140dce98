"""The one loop that chooses models, and the helpers that prices, waits and amounts share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.registry import PIPELINES
from providers.catalogue import Catalogue, Model, Parameter, billable_seconds
from providers.registry import catalogue_of
from schemas.backoff import backoff
from schemas.envelope import Request
from schemas.errors import ConsentRequired, InvalidField, UnknownModel
from schemas.generation import Generation
from schemas.money import format_micros
from schemas.parse import parse_request
from schemas.settings import Settings


def model(id_: str, **changes: Any) -> Model:
    values: dict[str, Any] = {"id": id_, "provider": "pika", "types": ("text-to-video",)}
    return Model(**values | {"parameters": {"duration": Parameter.choice(5, 10, default=5)}} | changes)


CATALOGUE = Catalogue([model("a"), model("b", parameters={}), model("c", types=("reel",))])


def test_candidates_keep_the_order_and_the_reason_of_each_rejected_model() -> None:
    accepted, rejected = CATALOGUE.candidates(["x", "c", "b", "a"], {"duration": 10}, "text-to-video")

    assert [(each.id, values) for each, values in accepted] == [("a", {"duration": 10})]
    assert [(name, type(error)) for name, error in rejected] == [
        ("x", UnknownModel),
        ("c", UnknownModel),
        ("b", InvalidField),
    ]


def test_candidates_fill_in_defaults_and_apply_the_further_check() -> None:
    def check(each: Model, values: object, job_type: str) -> None:
        assert job_type == "text-to-video"
        if each.id == "b":
            raise ConsentRequired

    accepted, rejected = CATALOGUE.candidates(["b", "A"], {}, "text-to-video", check=check)

    assert [(each.id, values) for each, values in accepted] == [("a", {"duration": 5})]
    assert [name for name, _ in rejected] == ["b"]


@pytest.mark.parametrize(
    ("parameters", "media_seconds", "seconds"),
    [
        ({"duration": 5, "audio_duration": 7}, 9.0, 5.0),
        ({"audio_duration": 7.5}, 9.0, 7.5),
        ({}, 9.0, 9.0),
        ({"duration": None}, 9.0, 9.0),
        ({"duration": "long"}, None, None),
        ({}, None, None),
    ],
)
def test_billable_seconds_are_those_of_the_parameters_before_the_medias(
    parameters: dict[str, Any], media_seconds: float | None, seconds: float | None
) -> None:
    assert billable_seconds(parameters, media_seconds) == seconds


def test_a_backoff_doubles_up_to_its_cap_and_never_overflows() -> None:
    assert [backoff(attempt, 1, 300) for attempt in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff(10**9, 0.5, 3600) == 3600
    assert backoff(5, 0, 60) == 0


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0.00"), (1, "0.000001"), (10_000, "0.01"), (100_000, "0.10"), (1_234_500, "1.2345"), (12_000_000, "12.00")],
)
def test_amounts_have_cents_and_no_further_zeros(micros: int, text: str) -> None:
    assert format_micros(micros) == text


BUILT_IN = catalogue_of(Settings())


@pytest.mark.parametrize(
    ("job_type", "data", "name", "value"),
    [
        pytest.param("image-to-video", {"parameters": {"motion": "3"}}, "motion", 3, id="gap_L2"),
        pytest.param("image-to-video", {"parameters": {"motion": " 3.0 "}}, "motion", 3, id="gap_L2-spaces"),
        pytest.param("image-to-video", {"parameters": {"frameRate": "12"}}, "frameRate", 12, id="gap_L2-rate"),
        pytest.param(
            "text-to-video",
            {"model": "auto", "prompt": "a kite", "prefer_backend": "Mochi", "lawful_use_consent": True},
            "prefer_backend",
            "mochi",
            id="gap_L3",
        ),
        pytest.param(
            "image-to-video",
            {"model": "auto", "prefer_backend": "WAN", "lawful_use_consent": True},
            "prefer_backend",
            "wan",
            id="gap_L3-image",
        ),
    ],
)
def test_parameters_are_read_as_fields_of_a_request_are(
    job_type: str, data: dict[str, Any], name: str, value: Any
) -> None:
    image = {"image": "s3://inbox/a.png"} if job_type == "image-to-video" else {}
    request = parse_request(json.dumps({"id": "a", "type": job_type, "data": {**image, **data}}).encode())
    assert isinstance(request, Request)
    assert isinstance(request.data, Generation)
    PIPELINES[job_type].check(request.data, job_type, BUILT_IN)
    data = {"prompt": "a kite", **request.data.explicit_parameters()}
    ((_, values),) = BUILT_IN.candidates(request.data.models, data, job_type).accepted
    assert (values[name], type(values[name])) == (value, type(value))


@pytest.mark.parametrize(
    ("parameter", "given", "value"),
    [
        (Parameter(kind="number", minimum=0), "7.5", 7.5),
        (Parameter(kind="number", minimum=0), "inf", None),
        (Parameter(kind="switch"), "TRUE", True),
        (Parameter(kind="switch"), "perhaps", None),
        (Parameter.choice(6, 10), "6", 6),
        (Parameter.choice(6, 10), True, None),
        (Parameter.choice("HD", "4K"), "hd", "HD"),
        (Parameter(kind="text"), 7, None),
    ],
    ids=lambda value: None if isinstance(value, Parameter) else f"gap_L2-{value}",
)
def test_a_value_is_converted_by_the_kind_of_its_parameter(parameter: Parameter, given: Any, value: Any) -> None:
    model = Model(id="m", provider="alpha", types=("ask",), parameters={"p": parameter})
    accepted, rejected = Catalogue([model]).candidates(["m"], {"p": given}, "ask")
    assert [values["p"] for _, values in accepted] == ([] if value is None else [value])
    assert (rejected == []) is (value is not None)


@pytest.mark.parametrize("motion", ["three", "3.5", "nan", True, "9"])
def test_text_that_is_no_such_number_is_refused_gap_L2(motion: Any) -> None:
    ((_, error),) = BUILT_IN.candidates(["pika"], {"motion": motion, "prompt": "a"}, "image-to-video").rejected
    assert error.message.startswith("data.motion: must be ")
