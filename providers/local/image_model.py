"""Text to image: all text-to-image pipelines of diffusers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from providers.local.base import Device, LocalCall, LocalResult, Pixels, Progress
from providers.local.diffusion import CALL_BYTES_PER_PIXEL, DiffusersModel
from providers.local.fitting import as_pixels, in_size
from providers.local.memory import is_out_of_memory, let_go
from providers.local.prompts import told_of, whole_prompts
from providers.local.reference import adapter_bytes, looking_at_hero
from providers.local.sharing import shared_attention
from providers.weights import GB
from schemas.errors import RenderFailed


class PictureModel(DiffusersModel):
    """Generates one image per prompt, in batches as large as memory and the entry allow."""

    def need(self, call: LocalCall, *, batch: int = 1) -> int:
        """Return the device memory for the weights and one batch."""
        further = min(batch, len(call.prompts), self.weights.most_batch) - 1
        share = self._share(call)
        own = self.need_bytes(low_memory=call.low_memory, call_bytes=share)
        return own + further * share + adapter_bytes(self.entry, self.folder, call)

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Load the pipeline that ``model_index.json`` names."""
        self.load_pipeline(device, low_memory=low_memory)

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """Return the images in the order of the prompts. A batch gives the same images as single calls.

        If a batch runs out of memory, the remaining images are generated in smaller ones.
        """
        pictures: list[Pixels] = []
        size, most, batches = len(call.prompts), self._most_at_once(call), 0
        with looking_at_hero(self.pipe, self.entry, self.folder, call) as hero:
            while len(pictures) < size:
                numbers = range(len(pictures), min(len(pictures) + most, size))
                made = self._tried(call, numbers, hero, functools.partial(_tell, progress, numbers, size))
                if made is None:
                    most = len(numbers) // 2
                    continue
                pictures += made
                batches += 1
        return LocalResult(pictures, details=self.facts() | {"batches": batches} | told_of(self.pipe, call.prompts))

    def _share(self, call: LocalCall) -> int:
        """Return the device memory of each image of a batch."""
        if self.weights.picture_gb is not None:
            return int(self.weights.picture_gb * GB)
        width, height = self.weights.size_for(call.width, call.height)
        return width * height * CALL_BYTES_PER_PIXEL

    def _most_at_once(self, call: LocalCall) -> int:
        """Return the batch size.

        It gives as few batches as fit into the free memory, and for that number of batches it is the smallest possible.
        """
        size = len(call.prompts)
        most = min(size, self.weights.most_batch)
        if call.room_bytes is not None:
            spare = call.room_bytes - (self.need(call) - self.loaded_bytes)
            most = max(1, min(most, 1 + spare // max(1, self._share(call))))
        return -(-size // -(-size // most))

    def _tried(self, call: LocalCall, numbers: range, hero: dict[str, Any], progress: Progress) -> list[Pixels] | None:
        """Generate a batch; return ``None`` if memory ran out and a smaller batch may fit.

        In that case everything the batch held has been freed.
        """
        try:
            return self._batch(call, numbers, hero, progress)
        except Exception as error:
            if len(numbers) == 1 or not is_out_of_memory(error):
                raise
            let_go(error)
        assert self.device is not None
        self.device.release()
        return None

    def _batch(self, call: LocalCall, numbers: range, hero: dict[str, Any], progress: Progress) -> list[Pixels]:
        import torch

        width, height = self.weights.size_for(call.width, call.height)
        steps = int(call.parameters.get("num_inference_steps", self.weights.steps))
        asked: dict[str, Any] = {
            "num_inference_steps": steps,
            "width": width,
            "height": height,
            # On the CPU, so that a seed gives the same noise on every device.
            "generator": [torch.Generator("cpu").manual_seed(call.seeds[number]) for number in numbers],
            "output_type": "pt",
        }
        guidance = call.parameters.get("guidance_scale", self.weights.guidance)
        if guidance is not None:
            asked["guidance_scale"] = float(guidance)
        prompts, negative = [call.prompts[number] for number in numbers], call.parameters.get("negative_prompt")
        sharing: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if call.parameters.get("consistency") == "shared-attention":
            sharing = shared_attention(self.pipe, len(numbers), call.seeds[numbers.start])
        with (
            sharing,
            self.stepping(steps, progress) as told,
            torch.inference_mode(),
            whole_prompts(self.pipe, prompts, negative) as texts,
        ):
            made = self.pipe(**asked, **texts, **hero, callback_on_step_end=told)
        self._refuse_black(numbers, getattr(made, "nsfw_content_detected", None))
        scale = self.weights.native is not None
        return [in_size(as_pixels(picture), call.width, call.height, scale=scale) for picture in made.images]

    def _refuse_black(self, numbers: range, refused: Sequence[bool] | None) -> None:
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


def _tell(progress: Progress, numbers: range, size: int, part: float) -> None:
    progress((numbers.start + part * len(numbers)) / size)
