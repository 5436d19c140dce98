"""What models made of a diffusers pipeline have in common: loading, low memory, steps, and leaving it clean."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from providers.catalogue import Model
from providers.local.base import Device, LocalCall, Progress
from providers.local.device import require_packages
from providers.local.files import cannot_be_loaded, check_files, find_weights
from providers.local.memory import is_out_of_memory
from providers.weights import GB, Weights

#: What a call takes beside the weights, in bytes a pixel of each picture: latents, attention, decoding.
CALL_BYTES_PER_PIXEL = 3_000


class DiffusersModel:
    """The part of a local model that is the same for pictures and films."""

    def __init__(self, entry: Model, folder: Path) -> None:
        assert entry.weights is not None
        self.entry = entry
        self.weights: Weights = entry.weights
        self.folder = folder
        self.device: Device | None = None
        self.pipe: Any = None
        #: What the weights take on the device between two calls.
        self.loaded_bytes = 0

    def need_bytes(self, *, low_memory: bool, call_bytes: int) -> int:
        """What one call needs: what the entry says, else the weights and what the call takes beside them.

        Raises:
            ModelNotInstalled: the files are not there.
        """
        place = find_weights(self.entry, self.folder)
        stated = self.weights.low_need_gb if low_memory else self.weights.need_gb
        if stated is not None:
            return int(stated * GB)
        # On the processor numbers can be wider than they are in the files.
        return max(check_files(self.entry.id, place), self.loaded_bytes) + call_bytes

    def main_need(self, call: LocalCall, kind: str) -> int:
        """What of the weights stays in main memory beside a device of this kind.

        Raises:
            ModelNotInstalled: the files are not there.
        """
        if kind == "cpu" or not (call.low_memory or self.weights.offload):
            return 0
        return check_files(self.entry.id, find_weights(self.entry, self.folder))

    def load_pipeline(self, device: Device, *, low_memory: bool, pipeline: str | None = None) -> None:
        """Loads ``pipeline``, or the one that the files name.

        Raises:
            ModelNotInstalled, InvalidWeights: the files are not there, or cannot be used.
        """
        require_packages()
        place = find_weights(self.entry, self.folder)
        check_files(self.entry.id, place)
        import diffusers
        import torch

        _be_quiet()
        dtype = getattr(torch, self.dtype_on(device.kind))
        kind: Any = getattr(diffusers, pipeline or "DiffusionPipeline")
        try:
            pipe = kind.from_pretrained(str(place), dtype=dtype, local_files_only=True, use_safetensors=True)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise cannot_be_loaded(self.entry.id, place, error) from None
        pipe.set_progress_bar_config(disable=True)
        parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        sizes = {name: _bytes_of(part) for name, part in parts.items()}
        self.pipe, self.device = pipe, device
        self.loaded_bytes = self._place(low_memory=low_memory, sizes=sizes)

    def dtype_on(self, kind: str) -> str:
        """The type of the weights on a device."""
        if self.weights.dtype != "auto":
            return self.weights.dtype
        if kind == "cpu":
            return "float32"
        return "bfloat16" if self.weights.family == "film" and kind == "cuda" else "float16"

    def unload(self) -> None:
        """Forgets the pipeline."""
        if self.pipe is not None:
            with contextlib.suppress(Exception):
                self.pipe.remove_all_hooks()
        self.pipe = None
        self.loaded_bytes = 0

    @contextlib.contextmanager
    def stepping(self, steps: int, progress: Progress) -> Iterator[Callable[..., dict[str, Any]]]:
        """The callback for a pipeline's steps; whatever happens, the pipeline is fit for the next call after it."""

        def told(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            progress(min(1.0, (step + 1) / max(1, steps)))
            return values

        try:
            yield told
        finally:
            self.leave_clean()

    def leave_clean(self) -> None:
        """Ends a call for the pipeline. Without it one that ended early changes, or breaks, the next one."""
        self.pipe.maybe_free_model_hooks()

    def facts(self) -> dict[str, Any]:
        """For the manifest: what made it."""
        import diffusers
        import torch

        assert self.device is not None
        return {
            "model_version": self.weights.revision or self.weights.source.rstrip("/").rpartition("/")[2],
            "pipeline": type(self.pipe).__name__,
            "scheduler": type(self.pipe.scheduler).__name__,
            "device": self.device.kind,
            "dtype": self.dtype_on(self.device.kind),
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        }

    def _place(self, *, low_memory: bool, sizes: Mapping[str, int]) -> int:
        """Puts the parts where they run; the bytes that stay on the device. ``sizes`` are those of the parts."""
        assert self.device is not None
        size = sum(sizes.values())
        vae = getattr(self.pipe, "vae", None)
        if low_memory and vae is not None:
            for saving in ("enable_tiling", "enable_slicing"):
                with contextlib.suppress(AttributeError, NotImplementedError):
                    getattr(vae, saving)()
        if self.device.kind == "cpu":
            return size  # there is nothing to offload from
        import torch

        target = torch.device(self.device.kind)
        if low_memory:
            stay = [name for name in sizes if name == "vae" or not _can_be_streamed(getattr(self.pipe, name))]
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


def _bytes_of(part: Any) -> int:
    return sum(item.numel() * item.element_size() for item in part.parameters())


def _can_be_streamed(part: Any) -> bool:
    """Whether diffusers can leave the part's weights in main memory. Those of a VAE stay on the device all the same.

    Streamed weights have the type that they were loaded in, and some pipelines widen a VAE before it decodes. It is
    small, and each tile of a picture would fetch it anew.
    """
    return bool(getattr(part, "_supports_group_offloading", True))


def _be_quiet() -> None:
    import diffusers
    import transformers

    libraries: tuple[Any, ...] = (diffusers, transformers)
    for library in libraries:
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
