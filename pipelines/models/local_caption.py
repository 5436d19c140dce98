"""Image captions that are written by a local model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.media.inspect.in_child import decode_in_child
from providers.catalogue import Model
from providers.local.base import LocalCall
from schemas.errors import ProviderResultInvalid
from schemas.media import InputFile, LocalFile, StoredArtifact

PROMPT_FILE = "prompt.txt"


def caption_locally(
    ctx: Context, step: str, model: Model, values: Mapping[str, Any], image: InputFile
) -> StoredArtifact:
    """Describe ``image`` with a local model and return ``prompt.txt``.

    The text is also in the artifact's details, so a job that runs again reads it from the ledger.
    """

    def make(folder: Path, progress: Progress) -> Sequence[LocalFile]:
        picture = decode_in_child(image, folder, ctx.bounds)
        result = ctx.host.run(model, LocalCall(image=picture, parameters=values), progress)
        text = " ".join((result.text or "").split())
        if not text:
            raise ProviderResultInvalid(f"{model.id} answered without a description", step=step)
        return [prompt_file(text, folder, {"text": text, "model": model.id, **result.details})]

    return ctx.step(step, make)[0]


def prompt_file(prompt: str, folder: Path, details: dict[str, Any]) -> LocalFile:
    """Write ``prompt.txt`` into ``folder``."""
    path = folder / PROMPT_FILE
    path.write_text(prompt + "\n", encoding="utf-8", newline="\n")
    return LocalFile(name=PROMPT_FILE, content_type="text/plain; charset=utf-8", path=path, details=details)
