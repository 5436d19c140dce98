"""What is behind the captions of a reel, as the child process receives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scene:
    """What is behind the captions of a reel, besides the image."""

    #: Whether the image slowly moves and grows.
    kenburns: bool = False

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Scene:
        """Return the scene whose fields are in ``record``."""
        return cls(**record)

    @property
    def moves(self) -> bool:
        """Whether every frame is another picture."""
        return self.kenburns


def frame_name(frame: int, text: str) -> str:
    """Return the name of what frame number ``frame`` shows with the caption ``text``. No caption contains a NUL."""
    return f"{frame}\0{text}"


def frame_and_text(name: str) -> tuple[int, str]:
    """Return the frame number and the caption of a name: the inverse of ``frame_name``."""
    frame, _, text = name.partition("\0")
    return int(frame), text
