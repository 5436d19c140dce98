"""A picture described on this worker's own device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, Progress
from pipelines.media.inspect.decoded import decode_in_child
from providers.catalogue import Model
from providers.local.base import LocalCall
from schemas.errors import ProviderResultInvalid
from schemas.media import Artifact, InputFile

_NAME = "prompt.txt"


def described(ctx: Context, step: str, model: Model, values: Mapping[str, Any], image: InputFile) -> Artifact:
    """``prompt.txt``, with the text among its details: a job that died does not ask again."""

    def render(folder: Path, progress: Progress) -> Sequence[Artifact]:
        picture = decode_in_child(image, folder, ctx.bounds)
        made = ctx.host.run(model, LocalCall(image=picture, parameters=values), progress)
        text = " ".join((made.text or "").split())
        if not text:
            raise ProviderResultInvalid(f"{model.id} answered without a description", step=step)
        path = folder / _NAME
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
        details = {"text": text, "model": model.id, **made.details}
        return [Artifact(name=_NAME, content_type="text/plain; charset=utf-8", path=path, details=details)]

    return ctx.step(step, render)[0]
