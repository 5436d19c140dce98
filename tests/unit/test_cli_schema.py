"""``telecine schema`` and ``secret``."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import SecretStr

from consumer.callbacks.signing import check_secret
from ops.contract.files import published
from ops.contract.json_schemas import schema_names, schema_of
from tests.cli_operator import REEL, Operator, an_operator, request

_operator = pytest.fixture(an_operator, name="operator")


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_is_valid_2020_12_with_id_and_title(name: str) -> None:
    schema = schema_of(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].startswith("urn:telecine:contract:")
    assert schema["title"].startswith("Telecine ")
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_request_schema_accepts_a_complete_request_and_refuses_others() -> None:
    validator = jsonschema.Draft202012Validator(schema_of("reel"))
    validator.validate(json.loads(request("order-1")))
    for wrong in (
        {"id": "order-1", "type": "other", "data": REEL},
        {"id": "order-1", "type": "reel", "data": {**REEL, "font_size": "large"}},
        {"id": "order-1", "type": "reel", "data": REEL, "unknown": 1},
        {"id": "order-1", "data": REEL},
    ):
        assert not validator.is_valid(wrong)


def test_schema_prints_lists_and_writes(operator: Operator, tmp_path: Path) -> None:
    assert operator.run("schema", "reel").json["$id"] == "urn:telecine:contract:request:reel"
    assert operator.run("schema", "--list").out.split() == [*schema_names(), "asyncapi"]
    operator.run("schema", "--write", str(tmp_path / "contract"))
    written = {path.name: path.read_text() for path in (tmp_path / "contract").iterdir()}
    assert written == published()
    operator.run("schema", "--out", str(tmp_path / "contract"))
    assert {path.name: path.read_text() for path in (tmp_path / "contract").iterdir()} == written


def test_schema_prints_the_asyncapi_document_as_yaml_and_as_json(operator: Operator) -> None:
    assert operator.run("schema", "asyncapi").out == published()["asyncapi.yaml"]
    assert operator.run("schema", "asyncapi", "--json").json["asyncapi"] == "3.0.0"


def test_an_unknown_schema_is_a_one_line_error(operator: Operator) -> None:
    result = operator.run("schema", "nosuch")
    assert result.status == 1
    assert "reel" in result.err


def test_secret_prints_a_new_valid_secret_each_time(operator: Operator) -> None:
    first, second = operator.run("secret").out.strip(), operator.run("secret", "--json").json["secret"]
    check_secret(SecretStr(first))
    assert first != second
