"""The device that models run on, found by itself. torch is imported when a device is first asked for."""

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

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "cv2")


def missing_packages() -> list[str]:
    """The packages that local models need and that are not here."""
    return [name for name in _PACKAGES if find_spec(name) is None]


def require_packages() -> None:
    """Returns if local models can run here.

    Raises:
        ModelNotInstalled: they cannot; the message says which command helps.
    """
    if missing := missing_packages():
        raise ModelNotInstalled(f"local models need {', '.join(missing)}: pip install 'telecine[local]'")


def find_device(settings: Settings) -> Device:
    """The device that the settings name, or the best there is.

    Raises:
        ConfigurationError: the one that is named is not there.
        ModelNotInstalled: torch is not.
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
    raise ConfigurationError(f"TELECINE_LOCAL_DEVICE is {wanted}, which is not here; take auto or cpu")


def _torch(threads: int | None = None) -> Any:
    # Threads that wait by spinning make everything else on busy cores crawl; read when torch starts its first.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Whatever a file beside the weights asks for: nothing is fetched. Read when the hub's library is imported.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return torch


class Cpu:
    """The processor and main memory."""

    kind = "cpu"
    name = "CPU"

    def free_bytes(self) -> int:
        """What is available."""
        return memory_bytes()[1]

    def total_bytes(self) -> int:
        """All of it."""
        return memory_bytes()[0]

    def release(self) -> None:
        """Lets Python forget."""
        gc.collect()


class Cuda:
    """The first CUDA device of this process; one process per device."""

    kind = "cuda"

    @property
    def name(self) -> str:
        """What the driver calls it."""
        return str(_torch().cuda.get_device_name())

    def free_bytes(self) -> int:
        """What the driver has free, and what this process's allocator holds without using it."""
        torch = _torch()
        held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0] + held)

    def total_bytes(self) -> int:
        """All of it."""
        return int(_torch().cuda.mem_get_info()[1])

    def release(self) -> None:
        """Empties the allocator's reserves, also that of main memory, in which streamed weights lie."""
        gc.collect()
        torch = _torch()
        torch.cuda.empty_cache()
        torch.accelerator.empty_host_cache()


class Mps:
    """Apple's graphics processor; it shares main memory."""

    kind = "mps"
    name = "Apple MPS"

    def free_bytes(self) -> int:
        """What the system recommends, less what is taken."""
        torch = _torch()
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())

    def total_bytes(self) -> int:
        """What the system recommends."""
        return int(_torch().mps.recommended_max_memory())

    def release(self) -> None:
        """Empties the allocator's reserve."""
        gc.collect()
        _torch().mps.empty_cache()
