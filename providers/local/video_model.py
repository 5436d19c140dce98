"""Text, or an image and text, to video: the video pipelines of diffusers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from PIL import Image

from providers.catalogue import Model
from providers.local.base import Device, LocalCall, LocalResult, Progress
from providers.local.diffusers_model import CALL_BYTES_PER_PIXEL, DiffusersModel
from providers.local.fit_image import fit_image, fit_pil_image, to_uint8, uint8_video_frames
from schemas.errors import InvalidWeights


class VideoModel(DiffusersModel):
    """Generates all frames of a video in one call."""

    def __init__(self, entry: Model, folder: Path) -> None:
        super().__init__(entry, folder)
        self._text_pipe: Any = None

    def device_memory_bytes(self, call: LocalCall, *, batch: int = 1) -> int:
        """Return the device memory for the weights and all frames."""
        width, height = self.weights.size_for(call.width, call.height)
        pixels = width * height * max(1, self.weights.frames_for(call.frames) // self.weights.frame_step)
        return self.estimate_bytes(low_memory=call.low_memory, call_bytes=pixels * CALL_BYTES_PER_PIXEL)

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Load the pipeline that ``model_index.json`` names."""
        self.load_pipeline(device, low_memory=low_memory)
        self._text_pipe = self.pipe

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """Return the requested number of frames in the requested size."""
        import torch

        self.pipe = self._pipe_for(call)
        width, height = self.weights.size_for(call.width, call.height)
        steps = int(call.parameters.get("num_inference_steps", self.weights.steps))
        arguments: dict[str, Any] = {
            "prompt": call.prompts[0],
            "num_inference_steps": steps,
            "num_frames": self.weights.frames_for(call.frames),
            "width": width,
            "height": height,
            "generator": torch.Generator("cpu").manual_seed(call.seeds[0]),
            "output_type": "np",
        }
        guidance = call.parameters.get("guidance_scale", self.weights.guidance)
        if guidance is not None:
            arguments["guidance_scale"] = float(guidance)
        if negative := call.parameters.get("negative_prompt"):
            arguments["negative_prompt"] = negative
        if call.image is not None:
            with Image.open(call.image) as picture:
                arguments["image"] = fit_pil_image(picture, width, height)
        with (
            self.step_callback(steps, progress) as on_step,
            torch.inference_mode(),
            uint8_video_frames(self.pipe, call.frames),
        ):
            frames = list(self.pipe(**arguments, callback_on_step_end=on_step).frames[0][: call.frames])
        scale = self.weights.native is not None
        for number, frame in enumerate(frames):
            frames[number] = fit_image(to_uint8(frame), call.width, call.height, scale=scale)
        used = {name: arguments[name] for name in ("num_inference_steps", "guidance_scale") if name in arguments}
        return LocalResult(frames, details=self.details() | used)

    def unload(self) -> None:
        """Free both pipelines."""
        super().unload()
        self._text_pipe = None

    def clean_up(self) -> None:
        """Reset both pipelines: only the one that was loaded knows which components take turns on the device."""
        super().clean_up()
        if self.pipe is not self._text_pipe:
            self._text_pipe.maybe_free_model_hooks()

    def _pipe_for(self, call: LocalCall) -> Any:
        """Return the loaded pipeline, or for a call with an image one of the same components that takes it."""
        name = self.weights.image_pipeline
        if call.image is None or name is None or type(self._text_pipe).__name__ == name:
            return self._text_pipe
        import diffusers

        kind = getattr(diffusers, name, None)
        if kind is None:
            raise InvalidWeights(
                f"{self.entry.id}: diffusers has no {name}; correct weights.image_pipeline of its entry"
            )
        # from_pipe is not used: it would change the dtype of the components that both pipelines share.
        known = {**self._text_pipe.config, **self._text_pipe.components}
        pipe = kind(**{part: known[part] for part in inspect.signature(kind.__init__).parameters if part in known})
        pipe.set_progress_bar_config(disable=True)
        return pipe
