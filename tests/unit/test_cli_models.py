"""``telecine models``: the catalogue as a table, as JSON, and in the format of the source system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")

#: Copied from the Cococlip service's documentation.
V1 = """{
  "object": "list",
  "data": [
    {"id": "hailuo02standard", "object": "model", "created": 1704067200, "owned_by": "cococlip"},
    {"id": "seedancev1lite", "object": "model", "created": 1704067200, "owned_by": "cococlip"},
    {"id": "hailuo23fast", "object": "model", "created": 1704067200, "owned_by": "cococlip"},
    {"id": "wan25fast", "object": "model", "created": 1704067200, "owned_by": "cococlip"},
    {"id": "Infinitetalk", "object": "model", "created": 1704067200, "owned_by": "cococlip"},
    {"id": "imagine-text-to-video", "object": "model", "created": 1704067200, "owned_by": "imagine.art"}
  ]
}
"""


def test_the_list_of_the_source_system_is_printed_byte_for_byte(operator: Operator) -> None:
    assert operator.run("models", "--v1", "--provider", "cococlip", "--provider", "imagine").out == V1


def test_the_whole_catalogue_has_the_same_form_and_begins_with_the_same_models(operator: Operator) -> None:
    listed = operator.run("models", "--v1").json
    assert listed["data"][:6] == json.loads(V1)["data"]
    assert {"pika", "clip-interrogator"} <= {entry["id"] for entry in listed["data"]}
    assert {tuple(entry) for entry in listed["data"]} == {("id", "object", "created", "owned_by")}
    assert (
        json.loads(operator.run("models", "--v1", "--type", "image-to-prompt").out)["data"][0]["created"] == 1704067200
    )


def test_the_table_has_every_model_and_one_model_has_its_parameters(operator: Operator) -> None:
    result = operator.run("models")
    assert result.status == 0
    row = next(line for line in result.out.splitlines() if line.startswith("wan25fast"))
    assert row.split() == ["wan25fast", "cococlip", "image-to-video", "unknown"]
    local = next(line for line in result.out.splitlines() if line.startswith("demo-shapes"))
    assert local.split()[-3:] == ["0.00", "USD", "yes"]
    shown = " ".join((operator.run("models", "wan25fast").out + operator.run("models", "pika").out).split())
    for part in ("resolution 720p·1080p (720p)", "duration 5·10 (5)", "motion 1–4 (2)", "required"):
        assert part in shown
    assert "routes wan-2.5-i2v-fast, runpod-wan-2-5" in shown
    route = " ".join(operator.run("models", "runpod-wan-2-5").out.split())
    assert "price 0.10–0.15 USD/s" in route
    assert "documented at https://docs.runpod.io/public-endpoints/models/wan-2-5" in route


def test_json_has_types_parameters_and_prices(operator: Operator) -> None:
    models = {model["id"]: model for model in operator.run("models", "--json", "--type", "image-to-video").json}
    assert set(models) >= {"hailuo23fast", "wan25fast", "pika", "mochi", "opensora", "auto"}
    assert models["wan25fast"]["parameters"]["duration"]["choices"] == [5, 10]
    assert models["wan25fast"]["price"] is None  # nobody has set it
    assert models["wan25fast"]["routes"] == ["wan-2.5-i2v-fast", "runpod-wan-2-5"]
    assert models["runpod-wan-2-5"]["prices"] == {"resolution": {"720p": "0.10", "1080p": "0.15"}}


def test_a_model_of_the_settings_file_is_listed(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = [{"id": "blip", "provider": "replicate", "types": ["image-to-prompt"], "price": "0.01"}]
    monkeypatch.setenv("TELECINE_MODELS", json.dumps(entry))
    assert [model["id"] for model in operator.run("models", "--json", "--type", "image-to-prompt").json] == [
        "clip-interrogator",
        "clip-interrogator/local",
        "demo-captioner",
        "blip",
    ]


def test_weights_without_a_size_are_refused_by_name(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {name: {"kind": "integer", "default": 256} for name in ("width", "height")}
    entry = {"id": "mine", "provider": "local", "types": ["text-to-image"], "parameters": size}
    monkeypatch.setenv("TELECINE_MODELS", json.dumps([entry | {"weights": {"family": "pictures", "source": "mine"}}]))
    result = operator.run("models")
    assert result.status == 1
    assert "[[models]] entry 1 (mine): parameters.num_inference_steps with a default is missing" in result.err


def test_a_type_without_models_names_the_available_types(operator: Operator) -> None:
    result = operator.run("models", "--type", "hologram")
    assert result.status == 1
    assert "image-to-video" in result.err
