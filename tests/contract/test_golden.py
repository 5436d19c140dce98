"""Messages that were once accepted are still accepted, as the same jobs."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, create_model

from schemas.callback import Callback
from schemas.envelope import Cancel, Request
from schemas.job_types import JOB_TYPES
from schemas.manifest import Manifest
from schemas.parse import parse_request
from schemas.reel import Reel
from tests.contract.golden_corpus import Golden, corpus, identity, recorded

REQUESTS = corpus("requests", "binary")
#: The job types of the contract, without those that tests register.
PUBLISHED = sorted(name for name, model in JOB_TYPES.items() if model.__module__.startswith("schemas."))


@pytest.mark.parametrize("golden", REQUESTS, ids=str)
def test_an_old_request_is_still_accepted_as_the_same_job(golden: Golden) -> None:
    request = parse_request(golden.body, golden.headers)
    assert isinstance(request, Request)
    assert request.type == golden.type
    assert identity(golden) == recorded()[golden.name][1]


@pytest.mark.parametrize("golden", corpus("controls"), ids=str)
def test_an_old_control_message_is_still_accepted(golden: Golden) -> None:
    control = parse_request(golden.body)
    assert isinstance(control, Cancel)
    assert control.id == "order-1042"


@pytest.mark.parametrize("golden", corpus("callbacks"), ids=str)
def test_an_old_callback_still_matches_the_schema(golden: Golden) -> None:
    sent = Callback.model_validate_json(golden.raw)
    assert json.loads(sent.model_dump_json(exclude_none=True)) == golden.value


@pytest.mark.parametrize("golden", corpus("manifests"), ids=str)
def test_an_old_manifest_can_still_be_read(golden: Golden) -> None:
    manifest = Manifest.model_validate_json(golden.raw)
    assert json.loads(manifest.model_dump_json(exclude_none=True)) == golden.value


def test_no_file_was_changed_or_removed_and_each_is_recorded() -> None:
    assert {golden.name: golden.sha256 for golden in corpus()} == {name: line[0] for name, line in recorded().items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_job_type_has_golden_requests(name: str) -> None:
    names = {golden.name for golden in REQUESTS}
    wanted = {f"requests/{name}/minimal.json", f"requests/{name}/full.json", f"binary/{name}/sqs.json"}
    assert wanted - names == set(), "add them, then run python -m tests.contract.golden_corpus"


def test_different_spellings_of_one_request_are_one_job() -> None:
    known = {name.partition("/")[2]: line[1] for name, line in recorded().items()}
    for same in (
        ("minimal", "one-line", "other-order", "defaults-spelled-out", "nulls-for-what-is-not-there", "cloud-event"),
        ("unicode", "unicode-as-escapes"),
        ("numbers-with-a-fraction-of-zero", "numbers-with-an-exponent"),
        ("output-without-final-slash", "output-with-many-slashes-at-its-end"),
        ("full", "cloud-event-full"),
    ):
        assert len({known[f"reel/{name}.json"] for name in same}) == 1, same


@pytest.mark.parametrize(("field", "default"), [("font_size", 46), ("renderer", "local"), ("width", 720)])
def test_a_changed_default_is_noticed(field: str, default: object, monkeypatch: pytest.MonkeyPatch) -> None:
    changed: type[BaseModel] = create_model(
        "Reel", __base__=Reel, **{field: (Reel.model_fields[field].annotation, default)}
    )  # type: ignore[call-overload]
    monkeypatch.setitem(JOB_TYPES, "reel", changed)
    lines = recorded()
    assert [golden.name for golden in REQUESTS if identity(golden) != lines[golden.name][1]] != []
