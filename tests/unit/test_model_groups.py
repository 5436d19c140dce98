"""A list that mixes remote and local models: when the next model is tried, and when it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.calls.call_spec import pipeline_error
from consumer.ledger.call_records import CallError
from pipelines.context import Context, ModelCall
from pipelines.memory_context import MemoryContext
from pipelines.models.generate import LocalTask, generate
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import ModelNotInstalled, RetriesExhausted
from schemas.media import StoredArtifact
from schemas.parse import parse_request
from schemas.settings import Settings

MODELS = ["clip-interrogator", "clip-interrogator/local", "another"]
ANOTHER = {"id": "another", "provider": "replicate", "types": ["image-to-prompt"], "remote": "owner/another"}
PROMPT = StoredArtifact(
    name="prompt.txt", content_type="text/plain", uri="s3://results/a/prompt.txt", sha256="0" * 64, bytes=1
)


class Tried:
    """An output that records which models are tried: the first one fails with ``code``, the last one succeeds."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.models: list[str] = []

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        self.models.extend(call.models)
        if call.models[0] == "another":
            return [PROMPT]
        row: Any = SimpleNamespace(error=CallError(self.code, "away"), step=step)
        raise pipeline_error(row)

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        self.models.append(task.model.id)
        raise ModelNotInstalled


@pytest.mark.parametrize(
    ("code", "tried"),
    [
        ("storage_unavailable", MODELS[:1]),
        ("checksum_mismatch", MODELS[:1]),
        ("internal_error", MODELS[:1]),
        ("provider_unavailable", MODELS),
        ("input_unavailable", MODELS),
    ],
)
def test_no_other_model_is_paid_after_a_result_could_not_be_stored(tmp_path: Path, code: str, tried: list[str]) -> None:
    body = {"image": "s3://inbox/c.jpg", "model": MODELS}
    request = parse_request(json.dumps({"id": "a", "type": "image-to-prompt", "data": body}).encode())
    assert isinstance(request, Request)
    data: Any = request.data
    output = Tried(code)
    catalogue = catalogue_of(Settings()).with_entries([ANOTHER])
    context = MemoryContext(tmp_path, "image-to-prompt", catalogue=catalogue)

    def made() -> Sequence[StoredArtifact]:
        return generate(context, "caption", "image-to-prompt", data, output, parameters={})

    if tried == MODELS:
        assert made() == [PROMPT]
    else:
        with pytest.raises(RetriesExhausted, match=code):
            made()
    assert output.models == tried
