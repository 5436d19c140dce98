"""The stored forms of a call are fixed: two versions of Telecine may work on one ledger during an update."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consumer.ledger.call_records import CallError, CallResult, CallRow, CallTask, ProviderResult, call_from
from consumer.ledger.call_request import CallInput, CallOutput, CallSpec, Candidate, SkippedModel
from consumer.ledger.states import CallState
from schemas.reference import Pin

STORED_SPEC = {
    "candidates": [{"model": "first", "provider": "alpha", "parameters": {"length": 5}}],
    "losers": [{"model": "other", "why": "unknown_model: gone"}],
    "inputs": {
        "image": {
            "uri": "s3://inbox/dot.png",
            "content_type": "image/png",
            "bytes": 70,
            "sha256": "ab",
            "pin": {"version": "v1", "etag": None},
        },
        "audio": {"uri": "https://x.test/a.mp3", "content_type": "audio/mpeg", "bytes": 9, "sha256": "cd"},
    },
    "wanted": {"name": "video.mp4", "kinds": ["mp4"]},
    "output": "s3://results/j/",
    "fingerprint": "f",
    "seconds": 5.0,
    "type": "ask",
}
SPEC = CallSpec(
    candidates=[Candidate("first", "alpha", {"length": 5})],
    skipped_models=[SkippedModel("other", "unknown_model: gone")],
    inputs={
        "image": CallInput(
            uri="s3://inbox/dot.png", content_type="image/png", bytes=70, sha256="ab", pin=Pin(version="v1")
        ),
        "audio": CallInput(uri="https://x.test/a.mp3", content_type="audio/mpeg", bytes=9, sha256="cd"),
    },
    output=CallOutput("video.mp4", ["mp4"]),
    output_folder="s3://results/j/",
    fingerprint="f",
    media_seconds=5.0,
    type="ask",
)
STORED_PROVIDER_RESULT = {"url": "https://x.test/r", "value": [1], "price": "0.25", "details": {"seed": 7}}
STORED_RESULT = {"model": "first", "provider": "alpha", "artifact": {"name": "video.mp4"}, "value": None, "details": {}}


def row(state: CallState, **columns: Any) -> CallRow:
    names = set(CallRow.__slots__) - {"spec", "provider_result"} | {"request"}
    values = dict.fromkeys(names) | {"state": state.value, "request": json.dumps(STORED_SPEC), "cancel_requested": 0}
    return call_from({**values, **columns})


def test_a_spec_has_the_stored_keys_and_is_read_from_them() -> None:
    assert json.dumps(SPEC.to_stored()) == json.dumps(STORED_SPEC)
    assert CallSpec.from_stored(STORED_SPEC) == SPEC


@pytest.mark.parametrize("record", [{**STORED_SPEC, "new": 1}, {**STORED_SPEC, "candidates": [{"new": 1}]}])
def test_a_spec_with_keys_of_a_newer_version_is_not_carried_out(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="newer version of Telecine stored this call, with new"):
        CallSpec.from_stored(record)


@pytest.mark.parametrize(
    ("task", "stored"),
    [
        (CallTask("t-1", {"region": "eu"}), '{"id": "t-1", "extra": {"region": "eu"}}'),
        (CallTask("t-1", adopted=True), '{"id": "t-1", "extra": {}, "adopted": true}'),
    ],
)
def test_a_task_begins_with_its_id_which_adopt_searches_for(task: CallTask, stored: str) -> None:
    assert json.dumps(task.to_stored()) == stored
    assert CallTask.from_stored(json.loads(stored)) == task


def test_a_result_of_a_provider_is_stored_with_its_content_as_base64() -> None:
    result = ProviderResult(url="https://x.test/r", value=[1], price="0.25", details={"seed": 7}, content=b"\x00\xff")
    assert result.to_stored() == {**STORED_PROVIDER_RESULT, "content": "AP8="}
    assert ProviderResult.from_stored({**STORED_PROVIDER_RESULT, "content": "AP8="}) == result
    assert "content" not in ProviderResult().to_stored()


def test_the_result_column_is_read_by_the_state_of_the_call() -> None:
    fetching = row(CallState.FETCHING, result=json.dumps(STORED_PROVIDER_RESULT))
    assert fetching.provider_result is not None
    assert (fetching.provider_result.price, fetching.result) == ("0.25", None)
    done = row(CallState.DONE, result=json.dumps(STORED_RESULT))
    assert done.result == CallResult(model="first", provider="alpha", artifact={"name": "video.mp4"})
    assert done.result.to_stored() == STORED_RESULT
    assert (done.provider_result, done.artifact_names) == (None, ["video.mp4"])


def test_an_error_is_read_from_the_record_of_any_error() -> None:
    record = {"code": "provider_timeout", "message": "too slow", "retryable": True, "step": "think"}
    assert row(CallState.FAILED, error=json.dumps(record)).error == CallError("provider_timeout", "too slow")
    assert row(CallState.QUEUED).error is None
