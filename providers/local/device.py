"""Detection of the device that models run on. torch is imported when a device is first needed."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from providers.local.base import Device
from providers.local.machine import memory_bytes
from schemas.errors import ConfigurationError, ModelNotInstalled

if TYPE_CHECKING:
    from schemas.settings import Settings

#: What to do about missing packages.
INSTALL = "pip install '.[local]' in Telecine's folder"
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "cv2")


def missing_packages() -> list[str]:
    """Return the packages that local models need and that are not installed."""
    return [name for name in _PACKAGES if find_spec(name) is None]


def require_packages() -> None:
    """Check that the packages for local models are installed.

    Raises:
        ModelNotInstalled: some are missing; the message contains the command that installs them.
    """
    if missing := missing_packages():
        raise ModelNotInstalled(f"local models need {', '.join(missing)}: {INSTALL}")


def find_device(settings: Settings) -> Device:
    """Return the device named in the settings, or the best one available.

    Raises:
        ConfigurationError: the named device is not available.
        ModelNotInstalled: torch is not installed.
    """
    require_packages()
    torch = _torch(settings.local_threads)
    wanted = settings.local_device
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        return Cuda()
    if wanted in ("auto", "mps") and torch.backends.mps.is_available():
        return Mps()
    if wanted in ("auto", "cpu"):
        return Cpu()
    raise ConfigurationError(f"TELECINE_LOCAL_DEVICE is {wanted}, which is not available; use auto or cpu")


def responds(device: Device) -> bool:
    """Return whether the device still responds.

    After some faults every CUDA call fails until the process ends.
    """
    try:
        device.free_bytes()
    except Exception:
        return False
    return True


def _torch(threads: int | None = None) -> Any:
    # Spinning OpenMP threads slow down everything else on busy cores. Read when torch starts its first thread.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # No file next to the weights may trigger a download. Read when huggingface_hub is imported.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return torch


class Cpu:
    """The CPU with main memory."""

    kind = "cpu"
    name = "CPU"

    def free_bytes(self) -> int:
        """Return the available main memory in bytes."""
        return memory_bytes()[1]

    def total_bytes(self) -> int:
        """Return the total main memory in bytes."""
        return memory_bytes()[0]

    def release(self) -> None:
        """Run Python's garbage collector."""
        gc.collect()


class Cuda:
    """The first CUDA device visible to this process. Run one process per device."""

    kind = "cuda"

    @property
    def name(self) -> str:
        """The driver's name for the device."""
        return str(_torch().cuda.get_device_name())

    def free_bytes(self) -> int:
        """Return the driver's free memory plus what this process's allocator has reserved but does not use."""
        torch = _torch()
        held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0] + held)

    def total_bytes(self) -> int:
        """Return the total device memory in bytes."""
        return int(_torch().cuda.mem_get_info()[1])

    def release(self) -> None:
        """Empty the allocator's cache, and the pinned main memory that held streamed weights."""
        gc.collect()
        torch = _torch()
        torch.cuda.empty_cache()
        torch.accelerator.empty_host_cache()


class Mps:
    """Apple's GPU, which shares main memory."""

    kind = "mps"
    name = "Apple MPS"

    def free_bytes(self) -> int:
        """Return the recommended maximum minus what is allocated, in bytes."""
        torch = _torch()
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())

    def total_bytes(self) -> int:
        """Return the maximum that the system recommends, in bytes."""
        return int(_torch().mps.recommended_max_memory())

    def release(self) -> None:
        """Empty the allocator's cache."""
        gc.collect()
        _torch().mps.empty_cache()
