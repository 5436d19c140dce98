"""The double of Replicate answers as Replicate's own document describes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from tests.contract.replicate_calls import (
    VIDEO,
    ask,
    clip,
    made,
    seek,
    submitting,
    trouble,
)
from tests.doubles.calls import call_of, media
from tests.doubles.misbehaviour import Plan
from tests.doubles.replicate import Replicate
from tests.doubles.replicate_document import DOCUMENT, document, explain, schema_errors
from tests.doubles.server import Reply, Seen


@pytest.fixture
def double() -> Iterator[Replicate]:
    """Yield the double, and validate all its normal responses against Replicate's document afterwards."""
    with Replicate() as started:
        yield started
    assert schema_errors(started.answers) == []


def test_every_response_of_the_double_matches_replicates_document(double: Replicate) -> None:
    print(explain())
    double.page_size = 2
    for plan in (Plan(), Plan("fail"), Plan(result="gone"), Plan(result="none"), Plan("never"), Plan(polls=3)):
        double.plan(plan)
        made(double, clip())
    made(double, call_of(VIDEO, {"prompt": "x"}, {"image": media("in.png", "image/png")}), 2)
    call = clip()
    double.plan(Plan("never"))
    task, _ = made(double, call)
    ask(double, lambda provider: provider.cancel(call, task))
    ask(double, lambda provider: provider.poll(call, task))
    seek(double, call)
    trouble(double, submitting(clip()), replicate_token=SecretStr("r8_wrongwrongwrong"))
    verbs = {(verb, reply.status) for verb, _, reply in double.answers}
    assert verbs >= {("submit", 201), ("poll", 200), ("cancel", 200), ("find", 200), ("submit", 401)}
    assert schema_errors(double.answers) == []


def test_a_response_that_the_document_does_not_allow_is_noticed(double: Replicate) -> None:
    made(double, clip())
    verb, seen, reply = double.answers[-1]
    changes: list[dict[str, Any]] = [{"status": "booting"}, {"urls": {}}, {"data_removed": None}, {"input": 7}]
    for broken in changes:
        changed = Reply(reply.status, json.dumps(json.loads(reply.body) | broken).encode())
        assert schema_errors([(verb, seen, changed)]) != []


def test_ci_fails_without_replicates_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.doubles.replicate_document.DOCUMENT", DOCUMENT.with_name("absent.json"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(FileNotFoundError):
        document()
    monkeypatch.delenv("CI")
    assert document() is None
    assert "checked against the outline only" in explain()
    seen = Seen("GET", "/v1/predictions/x", {}, {}, b"")
    assert schema_errors([("poll", seen, Reply.of({"id": "x"}))]) != []


def test_the_keys_of_calls_fit_the_mark() -> None:
    assert len(uuid.uuid4().hex) == len(clip().key) == 32
