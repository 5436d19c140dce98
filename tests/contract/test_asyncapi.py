"""The AsyncAPI document is current, valid for the official parser, and in agreement with the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops.contract.files import as_yaml
from schemas.envelope import Request
from schemas.errors import RequestError
from schemas.job_types import JOB_TYPES
from schemas.parse import parse_request
from tests.acceptance.line import NODE
from tests.contract.golden_corpus import corpus

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "docs" / "contract"
PACKAGES = ("consumer", "ops", "pipelines", "providers", "schemas")


def _parsed(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", "asyncapi.mjs", str(path)], cwd=NODE, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the committed document, resolved by the official parser."""
    done = _parsed(CONTRACT / "asyncapi.yaml")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_every_channel_and_operation_exists(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    channels = document["channels"]
    assert channels["amqpRequests"]["address"] == "telecine.requests"
    assert channels["amqpRequests"]["x-queue-arguments"]["x-queue-type"] == "quorum"
    assert channels["sqsRequests"]["bindings"]["sqs"]["deadLetterQueue"]["name"] == "telecine-requests-dead"
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    assert actions == {
        "receiveAmqpRequest": "receive",
        "receiveSqsRequest": "receive",
        "sendCallback": "send",
        "sendGameCallback": "send",
    }
    assert set(channels["callbacks"]["messages"]) == {"job.started", "job.progress", "job.completed", "job.failed"}
    headers = channels["callbacks"]["messages"]["job.failed"]["traits"][0]["headers"]
    assert headers["required"] == ["webhook-id", "webhook-timestamp", "webhook-signature"]


def test_every_example_of_a_request_is_accepted(document: dict[str, Any]) -> None:
    seen = set()
    for name, message in document["channels"]["amqpRequests"]["messages"].items():
        for example in message.get("examples", []):
            if name == "s3-event":
                with pytest.raises(RequestError):
                    parse_request(json.dumps(example["payload"]).encode())
                continue
            parse_request(json.dumps(example["payload"]).encode(), example.get("headers"))
            seen.add(name)
    assert {"reel", "reel.structured", "reel.binary", "job.cancel"} <= seen


def test_every_example_is_valid_by_its_schemas(document: dict[str, Any]) -> None:
    for name, message in document["components"]["messages"].items():
        assert message["examples"], name
        for example in message["examples"]:
            jsonschema.Draft7Validator(message["payload"]).validate(example["payload"])
            for trait in message.get("traits", []):
                if "headers" in trait and "headers" in example:
                    jsonschema.Draft7Validator(trait["headers"]).validate(example["headers"])


def test_every_schema_is_valid_draft_07(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_the_parser_refuses_a_document_that_is_wrong(tmp_path: Path) -> None:
    text = (CONTRACT / "asyncapi.yaml").read_text()
    for number, (right, wrong) in enumerate(
        [
            ("action: receive", "action: take"),
            ("'#/components/messages/job.cancel'", "'#/components/messages/job.stop'"),
            ("deliveryMode: 2", "deliveryMode: 3"),
        ]
    ):
        assert right in text
        path = tmp_path / f"{number}.yaml"
        path.write_text(text.replace(right, wrong, 1))
        done = _parsed(path)
        assert done.returncode == 1, wrong
        assert "error" in done.stderr or "warning" in done.stderr


def test_yaml_reads_back_as_what_was_written(tmp_path: Path) -> None:
    odd: list[Any] = [
        "",
        " ",
        "a ",
        " a",
        "yes",
        "No",
        "null",
        "~",
        "1",
        "1e3",
        "0x1",
        ".5",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "'",
        '"',
        "%",
        "@a",
        "`a",
        "!a",
        "&a",
        "*a",
        "a\n",
        "a\n\n",
        "\n",
        "a\nb",
        "a\n\nb\n",
        "a\n b",
        "a \nb",
        "a\tb",
        "\u2028",
        "é",
        "🎬\nb",
        "[a]",
        "{a}",
        "2026-01-01",
        "12:30",
        "a:b",
        "a:",
        "<<",
        "=",
        "?",
        "? a",
        "|",
        ">",
        "on",
        "y",
        "\u0085",
        "\ufeff",
        None,
        True,
        1,
        1.5,
        -0.1,
        [],
        {},
        [[]],
        [{"a": [1]}],
        {"": {"a b": "c"}},
    ]
    # Only names of one line, as in the document, and not "<<", which js-yaml merges even if quoted.
    names = [str(item) for item in odd if len(str(item).splitlines()) == 1 and item != "<<"]
    value = {"x-odd": odd, "x-names": dict.fromkeys(names, 1)}
    path = tmp_path / "odd.yaml"
    frame = {"asyncapi": "3.0.0", "info": {"title": "odd", "version": "1"}, "channels": {}}
    path.write_text(as_yaml(frame | value))
    done = _parsed(path)
    assert done.stdout, done.stderr
    assert {name: json.loads(done.stdout)[name] for name in value} == value


def test_a_model_that_changes_without_its_published_schema_fails_the_check(tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "celeryconfig.py", tmp_path)
    _contract(tmp_path)
    assert _contract(tmp_path, "--check").returncode == 0

    model = tmp_path / "schemas" / "envelope.py"
    text = model.read_text()
    assert "max_length=128" in text
    model.write_text(text.replace("max_length=128", "max_length=127"))
    done = _contract(tmp_path, "--check")
    assert done.returncode == 1
    assert {"asyncapi.yaml", "job.cancel.schema.json", "reel.schema.json"} <= set(re.findall(r"[\w.-]+", done.stderr))

    model.write_text(text)
    (tmp_path / "docs" / "contract" / "manifest.schema.json").unlink()
    (tmp_path / "docs" / "contract" / "hologram.schema.json").write_text("{}")
    assert "out of date: hologram.schema.json, manifest.schema.json" in _contract(tmp_path, "--check").stderr


def test_lint_checks_that_the_published_contract_is_current() -> None:
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    assert "-m ops.contract --check docs/contract" in lint


def _contract(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # The folder comes before the installed packages: it is the working directory of `-m`.
    return subprocess.run(
        [sys.executable, "-m", "ops.contract", *options, "docs/contract"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_another_languages_validator_agrees_about_null_F5() -> None:
    """Null for an optional field is valid, null for a required one is not."""
    messages: list[tuple[str, dict[str, Any]]] = []
    for golden in corpus("requests"):
        if golden.name == f"requests/{golden.type}/minimal.json":
            messages += _with_nulls(golden.type, golden.value)
    called = subprocess.run(
        ["node", "validate.mjs"],
        cwd=NODE,
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for (_, message), errors in zip(messages, json.loads(called.stdout), strict=True):
        refused = _refused(message)
        # Lyrics are an exception that the page names.
        assert (errors is None) == (refused in (None, "lyrics_required")), (refused, errors, message)
    assert len(messages) > 100


def _refused(message: dict[str, Any]) -> str | None:
    """Return the code that the message is refused with."""
    try:
        parse_request(json.dumps(message).encode())
    except RequestError as error:
        return error.code
    return None


def _with_nulls(kind: str, value: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the request with one field null, for each field, and with all optional fields null."""
    path = str(CONTRACT / f"{kind}.schema.json")
    envelope = [name for name in Request.model_fields if name not in value]
    fields = JOB_TYPES[kind].model_fields
    absent = [name for name in fields if name not in value["data"]]
    changed = [
        *({name: None} for name in Request.model_fields),
        dict.fromkeys(envelope) | {"data": value["data"] | dict.fromkeys(absent)},
        *({"data": value["data"] | {name: None}} for name in fields),
        *({"callback": {"url": "https://a.example", name: None}} for name in ("events", "format", "secret_name")),
        {"callback": {"url": None}},
        {"callback": {"url": None, "format": "game"}},
    ]
    return [(path, value | changes) for changes in changed]
