"""A picture is described in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.context import Context, ModelCall, ModelResult, Progress
from pipelines.models.estimates import estimate
from pipelines.models.local_caption import described
from pipelines.models.matching import fitting
from pipelines.models.routing import made_somewhere
from providers.catalogue import Model
from schemas.errors import ProviderResultInvalid
from schemas.image_to_prompt import ImageToPrompt
from schemas.media import Artifact, InputFile, Plan

TYPE = "image-to-prompt"
#: The pictures that vendors take, and the largest in bytes.
PICTURES = ("jpeg", "png", "webp")
LIMIT_BYTES = 50 * 1024 * 1024


def image_to_prompt(data: ImageToPrompt, ctx: Context) -> Sequence[Artifact]:
    """``prompt.txt``; the prompt stands in the manifest too."""
    image = picture(data.image, ctx)
    parameters, inputs = data.given(), {"image": image}

    def remote(step: str, names: Sequence[str]) -> Artifact:
        prompt = prompt_in(ctx.call(step, ModelCall(names, parameters, inputs)))
        ctx.annotate(prompt=prompt)
        return _written(prompt, ctx)

    def here(step: str, model: Model, values: Mapping[str, Any]) -> Artifact:
        made = described(ctx, step, model, values, image)
        ctx.annotate(**told(made))
        return made

    return [made_somewhere(ctx, "describe", data, parameters, TYPE, remote=remote, here=here)]


def told(made: Artifact) -> dict[str, Any]:
    """What a description made here tells of itself, the text as ``prompt``."""
    facts = dict(made.details)
    return {"prompt": facts.pop("text"), **facts}


def _written(prompt: str, ctx: Context) -> Artifact:
    def write(folder: Path, progress: Progress) -> Sequence[Artifact]:
        path = folder / "prompt.txt"
        path.write_text(prompt + "\n", encoding="utf-8", newline="\n")
        return [Artifact(name="prompt.txt", content_type="text/plain; charset=utf-8", path=path)]

    return ctx.step("write", write)[0]


def plan(data: ImageToPrompt, ctx: Context) -> Plan:
    """What ``image_to_prompt`` would cost. The image is fetched and looked at."""
    picture(data.image, ctx)
    model, values = fitting(data.models, data.given(), TYPE, ctx.catalogue, data.place)[0]
    asked = estimate(model, values)
    details = {"model": model.id, "provider": model.provider, "parameters": values}
    return Plan(estimated_seconds=asked.seconds, cost=asked.cost, details=details)


def picture(uri: str, ctx: Context) -> InputFile:
    """The input ``image``."""
    return ctx.input("image", uri, kinds=PICTURES, limit_bytes=LIMIT_BYTES)


def prompt_in(made: ModelResult) -> str:
    """The description in a model's answer, on one line.

    Raises:
        ProviderResultInvalid: it is no text, or an empty one.
    """
    prompt = " ".join(made.value.split()) if isinstance(made.value, str) else ""
    if not prompt:
        raise ProviderResultInvalid(f"{made.model} answered without a description")
    return prompt
