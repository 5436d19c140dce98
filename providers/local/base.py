"""The interface of a local model. The model host runs one call at a time, never two at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

#: Callback that receives the completed fraction, 0.0 to 1.0, between steps. It raises to cancel the call.
Progress = Callable[[float], None]
#: One image: uint8 array of shape (height, width, 3), RGB.
ImageArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class LocalCall:
    """The input of one call of a local model."""

    #: One per image; exactly one for a video.
    prompts: Sequence[str] = ()
    #: One per prompt. The same seed gives the same result on the same device.
    seeds: Sequence[int] = ()
    width: int = 0
    height: int = 0
    frames: int = 1
    #: Parameters of the model's catalogue entry: steps, guidance, negative prompt, mode, ….
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: The decoded RGB image that a video starts from, that is the reference of a story's hero, or that is captioned.
    image: Path | None = None
    #: Keep the weights in main memory and stream them to the device; slower.
    low_memory: bool = False
    #: Free device memory after the model was loaded; ``None`` if unknown. Limits the batch size.
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LocalResult:
    """The output of one call of a local model."""

    #: One per prompt or one per video frame, in the requested size.
    images: Sequence[ImageArray] = ()
    text: str | None = None
    #: Details for the manifest: steps, scheduler, versions, ….
    details: Mapping[str, Any] = field(default_factory=dict)


class Device(Protocol):
    """A device that models run on."""

    @property
    def kind(self) -> str:
        """``cuda``, ``mps`` or ``cpu``."""
        ...

    def free_bytes(self) -> int:
        """Return the memory available to a model now, including what this process has reserved but does not use."""
        ...

    def total_bytes(self) -> int:
        """Return the total memory of the device in bytes."""
        ...

    def release(self) -> None:
        """Return unused reserved memory to the driver."""
        ...


class LocalModel(Protocol):
    """One model of the catalogue, loaded or not."""

    def device_memory_bytes(self, call: LocalCall, *, batch: int = 1) -> int:
        """Return the device memory in bytes that ``call`` takes, weights included, with ``batch`` images at once."""
        ...

    def main_memory_bytes(self, call: LocalCall, kind: str) -> int:
        """Return the bytes of main memory that the loaded weights take if the device is of this kind."""
        ...

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Load the weights.

        Raises:
            ModelNotInstalled: the files are missing.
            InvalidWeights: the files cannot be used.
        """
        ...

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """Run ``call``.

        An exception from ``progress`` ends the call and leaves the model ready for the next one.
        """
        ...

    def unload(self) -> None:
        """Free the weights."""
        ...
