"""Base of the models that run a diffusers pipeline: loading, low-memory mode, progress and cleanup."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from providers.catalogue import Model
from providers.local.base import Device, LocalCall, Progress
from providers.local.device import require_packages
from providers.local.memory_errors import is_out_of_memory
from providers.local.weight_files import check_weight_files, find_weights, load_error, variant_to_load, version_of
from providers.weights import GB, Weights

#: Device memory of a call in addition to the weights, in bytes per pixel: latents, attention, decoding.
CALL_BYTES_PER_PIXEL = 3_000


class DiffusersModel:
    """The common part of image and video models."""

    def __init__(self, entry: Model, folder: Path) -> None:
        assert entry.weights is not None
        self.entry = entry
        self.weights: Weights = entry.weights
        self.folder = folder
        self.device: Device | None = None
        self.pipe: Any = None
        #: Device memory that the weights take between calls.
        self.loaded_bytes = 0
        self._version = ""

    def estimate_bytes(self, *, low_memory: bool, call_bytes: int) -> int:
        """Return the device memory of one call: as stated in the entry, else weights plus ``call_bytes``.

        Raises:
            ModelNotInstalled: the files are missing.
        """
        place = find_weights(self.entry, self.folder)
        stated = self.weights.low_need_gb if low_memory else self.weights.need_gb
        if stated is not None:
            return int(stated * GB)
        # On the CPU the dtype can be wider than it is in the files.
        return max(check_weight_files(self.entry.id, place), self.loaded_bytes) + call_bytes

    def main_memory_bytes(self, call: LocalCall, kind: str) -> int:
        """Return the bytes of weights that stay in main memory if the device is of this kind.

        Raises:
            ModelNotInstalled: the files are missing.
        """
        if kind == "cpu" or not (call.low_memory or self.weights.offload):
            return 0
        return check_weight_files(self.entry.id, find_weights(self.entry, self.folder))

    def load_pipeline(self, device: Device, *, low_memory: bool, pipeline: str | None = None) -> None:
        """Load ``pipeline``, or the one that ``model_index.json`` names.

        Raises:
            ModelNotInstalled: the files are missing.
            InvalidWeights: the files cannot be used.
        """
        require_packages()
        place = find_weights(self.entry, self.folder)
        check_weight_files(self.entry.id, place)
        import diffusers
        import torch

        _silence_logging()
        dtype = getattr(torch, self.dtype_on(device.kind))
        kind: Any = getattr(diffusers, pipeline or "DiffusionPipeline")
        try:
            pipe = kind.from_pretrained(
                str(place),
                dtype=dtype,
                variant=variant_to_load(place, self.weights.variant),
                local_files_only=True,
                use_safetensors=True,
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise load_error(self.entry.id, place, error) from None
        pipe.set_progress_bar_config(disable=True)
        parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        sizes = {name: _size_bytes(part) for name, part in parts.items()}
        self.pipe, self.device = pipe, device
        self._version = version_of(self.weights, place)
        self.loaded_bytes = self._place(low_memory=low_memory, sizes=sizes)

    def dtype_on(self, kind: str) -> str:
        """Return the name of the weights' dtype on a device."""
        if self.weights.dtype != "auto":
            return self.weights.dtype
        if kind == "cpu":
            return "float32"
        return "bfloat16" if self.weights.family == "film" and kind == "cuda" else "float16"

    def unload(self) -> None:
        """Free the pipeline."""
        if self.pipe is not None:
            with contextlib.suppress(Exception):
                self.pipe.remove_all_hooks()
        self.pipe = None
        self.loaded_bytes = 0

    @contextlib.contextmanager
    def step_callback(self, steps: int, progress: Progress) -> Iterator[Callable[..., dict[str, Any]]]:
        """Yield the step callback for the pipeline; clean the pipeline up afterwards, also after an error."""

        def on_step(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            progress(min(1.0, (step + 1) / max(1, steps)))
            return values

        try:
            yield on_step
        finally:
            self.clean_up()

    def clean_up(self) -> None:
        """Reset the pipeline after a call.

        Otherwise a call that ended early changes or breaks the next one.
        """
        self.pipe.maybe_free_model_hooks()

    def details(self) -> dict[str, Any]:
        """Return details of the pipeline for the manifest."""
        import diffusers
        import torch

        assert self.device is not None
        return {
            "model_version": self._version,
            "pipeline": type(self.pipe).__name__,
            "scheduler": type(self.pipe.scheduler).__name__,
            "device": self.device.kind,
            "dtype": self.dtype_on(self.device.kind),
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        }

    def _place(self, *, low_memory: bool, sizes: Mapping[str, int]) -> int:
        """Move the components to where they run; return the bytes that stay on the device."""
        assert self.device is not None
        size = sum(sizes.values())
        vae = getattr(self.pipe, "vae", None)
        if low_memory and vae is not None:
            for saving in ("enable_tiling", "enable_slicing"):
                with contextlib.suppress(AttributeError, NotImplementedError):
                    getattr(vae, saving)()
        if self.device.kind == "cpu":
            return size  # weights are in main memory already
        import torch

        target = torch.device(self.device.kind)
        if low_memory:
            stay = [name for name in sizes if name == "vae" or not _can_stream(getattr(self.pipe, name))]
            self.pipe.enable_group_offload(
                onload_device=target,
                offload_type="leaf_level",
                use_stream=self.device.kind == "cuda",
                exclude_modules=stay,
            )
            return sum(sizes[name] for name in stay)
        if self.weights.offload:
            self.pipe.enable_model_cpu_offload(device=target)
            return 0
        self.pipe.to(target)
        return size


def _size_bytes(part: Any) -> int:
    return sum(item.numel() * item.element_size() for item in part.parameters())


def _can_stream(part: Any) -> bool:
    """Return whether diffusers can stream the component's weights from main memory.

    The VAE stays on the device even so: streamed weights keep the dtype they were loaded in, and some pipelines widen
    the VAE before it decodes. It is small, and every tile of an image would fetch it again.
    """
    return bool(getattr(part, "_supports_group_offloading", True))


def _silence_logging() -> None:
    import diffusers
    import transformers

    libraries: tuple[Any, ...] = (diffusers, transformers)
    for library in libraries:
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
