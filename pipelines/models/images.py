"""Images: as inputs of models, and as the output of local and remote models."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.context import Context, ModelCall, OutputSpec, Progress
from pipelines.models.generate import LocalTask
from pipelines.models.routing import seed_of
from providers.local.base import LocalCall
from schemas.errors import ProviderResultInvalid
from schemas.media import InputFile, LocalFile, MediaFacts, StoredArtifact

#: The image kinds that providers accept.
IMAGE_KINDS = ("jpeg", "png", "webp")
MAX_IMAGE_BYTES = 50 * 1024 * 1024
IMAGE = OutputSpec("image.png", ("png",))
#: Seconds for one image of 512 x 512 pixels with 25 steps: the estimate of the Image and Video Generation API.
_SECONDS_PER_IMAGE = 5.0


def fetch_image(ctx: Context, uri: str) -> InputFile:
    """Fetch the input ``image``.

    Raises:
        InputError: It is missing, too large or not an image that providers accept.
    """
    return ctx.input("image", uri, kinds=IMAGE_KINDS, limit_bytes=MAX_IMAGE_BYTES)


def image_seconds(values: Mapping[str, Any], images: int = 1) -> float:
    """Return the estimated seconds for ``images`` images, from their number, denoising steps and pixels."""
    pixels = int(values.get("width", 512)) * int(values.get("height", 512)) / (512 * 512)
    return round(images * _SECONDS_PER_IMAGE * pixels * int(values.get("num_inference_steps", 25)) / 25, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageOutput:
    """``image.png``."""

    #: Whether the callback should contain the image itself.
    inline: bool = False

    def call_remote(self, ctx: Context, step: str, call: ModelCall) -> Sequence[StoredArtifact]:
        """Make the image with remote models.

        Raises:
            ProviderResultInvalid: The model returned no image.
        """
        result = ctx.call(step, dataclasses.replace(call, output=IMAGE))
        if result.artifact is None:
            raise ProviderResultInvalid(f"{result.model} answered without a picture", step=step)
        return [result.artifact.model_copy(update={"inline": self.inline})]

    def run_local(self, ctx: Context, step: str, task: LocalTask) -> Sequence[StoredArtifact]:
        """Make the image with a local model."""

        def make(folder: Path, progress: Progress) -> Sequence[LocalFile]:
            return [self._make(ctx, task, folder, progress)]

        return ctx.step(step, make)

    def _make(self, ctx: Context, task: LocalTask, folder: Path, progress: Progress) -> LocalFile:
        started = time.monotonic()
        values = task.parameters
        seed = seed_of(values, ctx)
        call = LocalCall(
            prompts=(values["prompt"],),
            seeds=(seed,),
            width=values["width"],
            height=values["height"],
            parameters=values,
        )
        result = ctx.host.run(task.model, call, progress)
        path = folder / IMAGE.name
        Image.fromarray(result.images[0]).save(path, "PNG")
        details = {
            "model": task.model.id,
            "backend": task.model.id,
            "seed": seed,
            "num_inference_steps": values["num_inference_steps"],
            **result.details,
            "elapsed_seconds": round(time.monotonic() - started, 3),
        }
        return LocalFile(
            name=IMAGE.name,
            content_type="image/png",
            facts=MediaFacts(width=call.width, height=call.height),
            path=path,
            details=details,
            inline=self.inline,
        )
