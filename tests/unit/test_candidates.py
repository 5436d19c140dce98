"""The one loop that chooses models, and the helpers that prices, waits and amounts share."""

from __future__ import annotations

from typing import Any

import pytest

from providers.catalogue import Catalogue, Model, Parameter, billable_seconds
from schemas.backoff import backoff
from schemas.errors import ConsentRequired, InvalidField, UnknownModel
from schemas.money import format_micros


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
