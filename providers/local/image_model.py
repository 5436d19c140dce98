"""Text to image: all text-to-image pipelines of diffusers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from providers.local.base import Device, ImageArray, LocalCall, LocalResult, Progress
from providers.local.diffusers_model import CALL_BYTES_PER_PIXEL, DiffusersModel
from providers.local.fit_image import fit_image, to_uint8
from providers.local.ip_adapter import adapter_bytes, reference_arguments
from providers.local.long_prompts import prompt_arguments, prompt_details
from providers.local.memory_errors import drop_tracebacks, is_out_of_memory
from providers.local.shared_attention import shared_attention
from providers.weights import GB
from schemas.errors import RenderFailed


class ImageModel(DiffusersModel):
    """Generates one image per prompt, in batches as large as memory and the entry allow."""

    def device_memory_bytes(self, call: LocalCall, *, batch: int = 1) -> int:
        """Return the device memory for the weights and one batch."""
        further = min(batch, len(call.prompts), self.weights.most_batch) - 1
        share = self._bytes_per_image(call)
        own = self.estimate_bytes(low_memory=call.low_memory, call_bytes=share)
        return own + further * share + adapter_bytes(self.entry, self.folder, call)

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Load the pipeline that ``model_index.json`` names."""
        self.load_pipeline(device, low_memory=low_memory)

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """Return the images in the order of the prompts. A batch gives the same images as single calls.

        If a batch runs out of memory, the remaining images are generated in smaller ones.
        """
        images: list[ImageArray] = []
        size, batch_size, batches = len(call.prompts), self._batch_size(call), 0
        with reference_arguments(self.pipe, self.entry, self.folder, call) as hero:
            while len(images) < size:
                numbers = range(len(images), min(len(images) + batch_size, size))
                made = self._batch_or_oom(call, numbers, hero, functools.partial(_report, progress, numbers, size))
                if made is None:
                    batch_size = len(numbers) // 2
                    continue
                images += made
                batches += 1
        return LocalResult(
            images, details=self.details() | {"batches": batches} | prompt_details(self.pipe, call.prompts)
        )

    def _bytes_per_image(self, call: LocalCall) -> int:
        """Return the device memory of each image of a batch."""
        if self.weights.picture_gb is not None:
            return int(self.weights.picture_gb * GB)
        width, height = self.weights.size_for(call.width, call.height)
        return width * height * CALL_BYTES_PER_PIXEL

    def _batch_size(self, call: LocalCall) -> int:
        """Return the batch size.

        It gives as few batches as fit into the free memory, and for that number of batches it is the smallest possible.
        """
        size = len(call.prompts)
        batch_size = min(size, self.weights.most_batch)
        if call.free_bytes is not None:
            spare = call.free_bytes - (self.device_memory_bytes(call) - self.loaded_bytes)
            batch_size = max(1, min(batch_size, 1 + spare // max(1, self._bytes_per_image(call))))
        return -(-size // -(-size // batch_size))

    def _batch_or_oom(
        self, call: LocalCall, numbers: range, hero: dict[str, Any], progress: Progress
    ) -> list[ImageArray] | None:
        """Generate a batch; return ``None`` if memory ran out and a smaller batch may fit.

        In that case everything the batch held has been freed.
        """
        try:
            return self._generate_batch(call, numbers, hero, progress)
        except Exception as error:
            if len(numbers) == 1 or not is_out_of_memory(error):
                raise
            drop_tracebacks(error)
        assert self.device is not None
        self.device.release()
        return None

    def _generate_batch(
        self, call: LocalCall, numbers: range, hero: dict[str, Any], progress: Progress
    ) -> list[ImageArray]:
        import torch

        width, height = self.weights.size_for(call.width, call.height)
        steps = int(call.parameters.get("num_inference_steps", self.weights.steps))
        arguments: dict[str, Any] = {
            "num_inference_steps": steps,
            "width": width,
            "height": height,
            # On the CPU, so that a seed gives the same noise on every device.
            "generator": [torch.Generator("cpu").manual_seed(call.seeds[number]) for number in numbers],
            "output_type": "pt",
        }
        guidance = call.parameters.get("guidance_scale", self.weights.guidance)
        if guidance is not None:
            arguments["guidance_scale"] = float(guidance)
        prompts, negative = [call.prompts[number] for number in numbers], call.parameters.get("negative_prompt")
        sharing: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if call.parameters.get("consistency") == "shared-attention":
            sharing = shared_attention(self.pipe, len(numbers), call.seeds[numbers.start])
        with (
            sharing,
            self.step_callback(steps, progress) as on_step,
            torch.inference_mode(),
            prompt_arguments(self.pipe, prompts, negative) as texts,
        ):
            made = self.pipe(**arguments, **texts, **hero, callback_on_step_end=on_step)
        self._check_safety(numbers, getattr(made, "nsfw_content_detected", None))
        scale = self.weights.native is not None
        return [fit_image(to_uint8(picture), call.width, call.height, scale=scale) for picture in made.images]

    def _check_safety(self, numbers: range, refused: Sequence[bool] | None) -> None:
        """Check that the model's safety checker, if it has one, passed all images.

        Images that it rejects are black and would look like results.

        Raises:
            RenderFailed: an image was rejected.
        """
        for number, black in zip(numbers, refused or (), strict=False):
            if black:
                raise RenderFailed(
                    f"{self.entry.id}: the model's own safety checker rejected image {number + 1}; "
                    "change the prompt or the seed"
                )


def _report(progress: Progress, numbers: range, size: int, part: float) -> None:
    progress((numbers.start + part * len(numbers)) / size)
