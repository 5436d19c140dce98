"""A list of models that alternates between remote and local ones: when the next is asked, and when none is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.calls.call_spec import ended
from pipelines.memory_context import MemoryContext
from pipelines.models.routing import made_somewhere
from providers.catalogue import Model
from providers.registry import catalogue_of
from schemas.envelope import Request
from schemas.errors import ModelNotInstalled, RetriesExhausted
from schemas.parse import parse_request
from schemas.settings import Settings

MODELS = ["clip-interrogator", "clip-interrogator/local", "another"]
ANOTHER = {"id": "another", "provider": "replicate", "types": ["image-to-prompt"], "remote": "owner/another"}


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("storage_unavailable", MODELS[:1]),
        ("checksum_mismatch", MODELS[:1]),
        ("internal_error", MODELS[:1]),
        ("provider_unavailable", MODELS),
        ("input_unavailable", MODELS),
    ],
)
def test_a_paid_result_that_could_not_be_stored_is_bought_from_no_other_model(
    tmp_path: Path, code: str, asked: list[str]
) -> None:
    body = {"image": "s3://inbox/c.jpg", "model": MODELS}
    request = parse_request(json.dumps({"id": "a", "type": "image-to-prompt", "data": body}).encode())
    assert isinstance(request, Request)
    data: Any = request.data
    tried: list[str] = []

    def remote(step: str, models: Sequence[str]) -> str:
        tried.extend(models)
        if models[0] == "another":
            return "a red kite"
        call: Any = SimpleNamespace(error={"code": code, "message": "away"}, step=step)
        raise ended(call)

    def here(step: str, model: Model, values: Mapping[str, Any]) -> str:
        tried.append(model.id)
        raise ModelNotInstalled

    catalogue = catalogue_of(Settings()).with_entries([ANOTHER])
    context = MemoryContext(tmp_path, "image-to-prompt", catalogue=catalogue)

    def made() -> str:
        return made_somewhere(context, "caption", data, {}, "image-to-prompt", remote=remote, here=here)

    if asked == MODELS:
        assert made() == "a red kite"
    else:
        with pytest.raises(RetriesExhausted, match=code):
            made()
    assert tried == asked
