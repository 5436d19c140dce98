"""What is behind the captions of a reel, as the child process receives it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.media.scene.rows import Corner


@dataclass(frozen=True, slots=True)
class FurtherImage:
    """An image that replaces the one before it at frame number ``first``."""

    path: Path
    kind: str
    first: int


@dataclass(frozen=True, slots=True)
class Watermark:
    """A picture in a corner of the safe area."""

    path: Path
    kind: str
    corner: Corner


class Mix(NamedTuple):
    """What is shown of the images: ``share`` of the one with this index, and the rest of the one before it."""

    image: int
    share: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What is behind the captions of a reel. Image 0 is the reel's own."""

    #: Whether the images slowly move and grow.
    kenburns: bool = False
    #: The images from 1 on.
    images: tuple[FurtherImage, ...] = ()
    #: Frames on which an image replaces the one before it.
    crossfade: int = 0
    #: Two lines above everything else; empty for none.
    title: str = ""
    artist: str = ""
    watermark: Watermark | None = None
    #: Whether bars move with the sound.
    waveform: bool = False

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Scene:
        """Return the scene whose fields are in ``record``."""
        images = tuple(FurtherImage(**image | {"path": Path(image["path"])}) for image in record["images"])
        mark = record["watermark"]
        watermark = mark and Watermark(**mark | {"path": Path(mark["path"])})
        return cls(**{**record, "images": images, "watermark": watermark})

    @property
    def moves(self) -> bool:
        """Whether every frame is another picture."""
        return self.kenburns or self.waveform

    @property
    def changes(self) -> bool:
        """Whether what is behind the captions is not the same on every frame."""
        return self.moves or bool(self.images)

    def first_frame(self, image: int) -> int:
        """Return the frame on which the image appears."""
        return self.images[image - 1].first if image else 0

    def fade(self, image: int) -> int:
        """Return the number of frames on which the image is mixed with the one before it."""
        following = self.images[image].first if image < len(self.images) else None
        return self.crossfade if following is None else min(self.crossfade, following - self.first_frame(image) - 1)

    def mix_at(self, frame: int) -> Mix:
        """Return what is shown of the images on this frame."""
        image = bisect_right([further.first for further in self.images], frame)
        done = frame - self.first_frame(image) + 1
        fade = self.fade(image) if image else 0
        return Mix(image, min(done / (fade + 1), 1.0))


def frame_name(frame: int, text: str) -> str:
    """Return the name of what frame number ``frame`` shows with the caption ``text``. No caption contains a NUL."""
    return f"{frame}\0{text}"


def frame_and_text(name: str) -> tuple[int, str]:
    """Return the frame number and the caption of a name: the inverse of ``frame_name``."""
    frame, _, text = name.partition("\0")
    return int(frame), text
