"""What a local model is: few verbs. The host calls them one at a time and never from two threads at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

#: Takes the part that is done, 0.0 to 1.0, between two steps. It raises to end the work.
Progress = Callable[[float], None]
#: One picture: height, width and RGB, 8 bits each.
Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class LocalCall:
    """What is wanted of a local model."""

    #: One for each picture; a film has one.
    prompts: Sequence[str] = ()
    #: One for each prompt. The same seed gives the same result on the same device.
    seeds: Sequence[int] = ()
    width: int = 0
    height: int = 0
    frames: int = 1
    #: Steps, guidance, negative prompt, mode, …: what the catalogue's parameters say.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: The picture that a film begins with, or that is described: decoded, RGB.
    image: Path | None = None
    #: Weights stay in main memory; slower.
    low_memory: bool = False
    #: What the device had free when the model was loaded and the call began; absent: nobody looked.
    room_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What came of it."""

    #: One for each prompt, or one for each frame, in the size that was asked for.
    pictures: Sequence[Pixels] = ()
    text: str | None = None
    #: For the manifest: steps, scheduler, versions, ….
    details: Mapping[str, Any] = field(default_factory=dict)


class Device(Protocol):
    """Where models run."""

    @property
    def kind(self) -> str:
        """``cuda``, ``mps`` or ``cpu``."""
        ...

    def free_bytes(self) -> int:
        """What a model could take now, this process's own reserve included."""
        ...

    def total_bytes(self) -> int:
        """What there is."""
        ...

    def release(self) -> None:
        """Gives what is no longer used back to the driver."""
        ...


class LocalModel(Protocol):
    """One model of the catalogue, loaded or not."""

    def need(self, call: LocalCall, *, batch: int = 1) -> int:
        """Bytes that it takes on the device while it carries out ``call``, its weights included.

        Of several pictures ``batch`` are made at once.
        """
        ...

    def main_need(self, call: LocalCall, kind: str) -> int:
        """Bytes that its weights keep in main memory beside a device of this kind, while it is loaded."""
        ...

    def load(self, device: Device, *, low_memory: bool) -> None:
        """Loads the weights.

        Raises:
            ModelNotInstalled, InvalidWeights: they are not there, or cannot be used.
        """
        ...

    def generate(self, call: LocalCall, progress: Progress) -> LocalResult:
        """Carries out ``call``. Whatever ``progress`` raises ends it and leaves the model fit for the next call."""
        ...

    def unload(self) -> None:
        """Forgets the weights."""
        ...
