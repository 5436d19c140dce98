"""Prompts that are written from an image: as the result of a job, and on the way to a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.context import Context, ModelCall, ModelResult
from pipelines.models.estimates import Estimate, helper_estimate
from pipelines.models.generate import LocalTask
from pipelines.models.local_caption import caption_locally, prompt_file
from providers.catalogue import Catalogue
from schemas.errors import ModelNotInstalled, ProviderNotConfigured, ProviderResultInvalid, UnknownModel
from schemas.media import InputFile, StoredArtifact

#: The job type that image captioning models are listed under.
IMAGE_TO_PROMPT = "image-to-prompt"
_INTERROGATOR = "clip-interrogator"
_LOCAL_INTERROGATOR = "clip-interrogator/local"
#: The mode that the I2V service used.
_BEST = {"mode": "best"}


class PromptOutput:
    """``prompt.txt``; the prompt is added to the manifest too."""

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        """Write the prompt with remote models."""
        prompt = prompt_from(ctx.call(step, call))
        ctx.annotate(prompt=prompt)
        return ctx.step("write", lambda folder, _: [prompt_file(prompt, folder, {})])

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        """Write the prompt with a local model."""
        made = caption_locally(ctx, step, task.model, task.parameters, task.inputs["image"])
        ctx.annotate(**_manifest_details(made))
        return [made]


def _manifest_details(made: StoredArtifact) -> dict[str, Any]:
    details = dict(made.details)
    return {"prompt": details.pop("text"), **details}


def prompt_from(result: ModelResult) -> str:
    """Return the description in a model's result, on one line.

    Raises:
        ProviderResultInvalid: It is not a text, or the text is empty.
    """
    prompt = " ".join(result.value.split()) if isinstance(result.value, str) else ""
    if not prompt:
        raise ProviderResultInvalid(f"{result.model} answered without a description")
    return prompt


def write_prompt(ctx: Context, image: InputFile, *, local: bool) -> tuple[str, Sequence[StoredArtifact]]:
    """Describe ``image``. Return the text, and ``prompt.txt`` if it was written on this worker.

    Unless ``local``, Replicate writes it, and this worker does only if no key for Replicate is configured.

    Raises:
        ProviderNotConfigured: There is no key, and the local model is not available.
        ModelNotInstalled, UnknownModel: The local model is not available.
    """
    problem: ProviderNotConfigured | None = None
    if not local:
        call = ModelCall([_INTERROGATOR], _BEST, {"image": image}, as_type=IMAGE_TO_PROMPT)
        try:
            return prompt_from(ctx.call("caption", call)), []
        except ProviderNotConfigured as error:
            problem = error
    try:
        model = ctx.catalogue.find(_LOCAL_INTERROGATOR, IMAGE_TO_PROMPT)
        made = caption_locally(ctx, "describe", model, model.checked(_BEST), image)
    except (ModelNotInstalled, UnknownModel):
        if problem is not None:
            raise problem from None
        raise
    return str(made.details["text"]), [made]


def prompt_models(*, local: bool) -> list[str]:
    """Return the models that may write a missing prompt, in order of preference."""
    return [_LOCAL_INTERROGATOR] if local else [_INTERROGATOR, _LOCAL_INTERROGATOR]


def prompt_estimate(catalogue: Catalogue) -> Estimate:
    """Estimate the remote call that ``write_prompt`` makes."""
    return helper_estimate([_INTERROGATOR], IMAGE_TO_PROMPT, None, catalogue)
