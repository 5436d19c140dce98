"""Text becomes pictures: any text-to-image pipeline of diffusers."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from providers.local.base import Device, LocalCall, LocalResult, Pixels, Progress
from providers.local.diffusion import DiffusersModel
from providers.local.fitting import as_pixels, in_size
from providers.local.sharing import shared_attention


class PictureModel(DiffusersModel):
    """Makes one picture for each prompt, as many at once as the entry allows."""

    def need(self, call: LocalCall) -> int:
        """Weights, and one batch."""
        width, height = self.weights.size_for(call.width, call.height)
        batch = min(len(call.prompts), self.weights.most_batch)
        return self.need_bytes(low_memory=call.low_memory, pixels=width * height * batch)

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Loads the pipeline that the files name."""
        self.load_pipeline(device, low_memory=low_memory)

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """The pictures, in the order of the prompts; a batch makes what single calls would."""
        pictures: list[Pixels] = []
        size, most = len(call.prompts), self.weights.most_batch
        for first in range(0, size, most):
            numbers = range(first, min(first + most, size))
            pictures += self._batch(call, numbers, functools.partial(_tell, progress, numbers, size))
        cut = [number for number, prompt in enumerate(call.prompts) if self._is_cut(prompt)]
        return LocalResult(pictures, details=self.facts() | ({"cut_prompts": cut} if cut else {}))

    def _batch(self, call: LocalCall, numbers: range, progress: Progress) -> list[Pixels]:
        import torch

        width, height = self.weights.size_for(call.width, call.height)
        steps = int(call.parameters.get("num_inference_steps", self.weights.steps))
        asked: dict[str, Any] = {
            "prompt": [call.prompts[number] for number in numbers],
            "num_inference_steps": steps,
            "width": width,
            "height": height,
            # On the CPU, so that a seed means the same on every device.
            "generator": [torch.Generator("cpu").manual_seed(call.seeds[number]) for number in numbers],
            "output_type": "np",
        }
        guidance = call.parameters.get("guidance_scale", self.weights.guidance)
        if guidance is not None:
            asked["guidance_scale"] = float(guidance)
        if negative := call.parameters.get("negative_prompt"):
            asked["negative_prompt"] = [negative] * len(numbers)
        sharing: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if call.parameters.get("consistency") == "shared-attention":
            sharing = shared_attention(self.pipe, len(numbers), call.seeds[numbers.start])
        with sharing, self.stepping(steps, progress) as told, torch.inference_mode():
            made = self.pipe(**asked, callback_on_step_end=told).images
        scale = self.weights.native is not None
        return [in_size(as_pixels(picture), call.width, call.height, scale=scale) for picture in made]

    def _is_cut(self, prompt: str) -> bool:
        """Whether the text encoder reads only the beginning of ``prompt``."""
        tokenizer = getattr(self.pipe, "tokenizer", None)
        if tokenizer is None:
            return False
        return len(tokenizer(prompt).input_ids) > int(tokenizer.model_max_length)


def _tell(progress: Progress, numbers: range, size: int, part: float) -> None:
    progress((numbers.start + part * len(numbers)) / size)
