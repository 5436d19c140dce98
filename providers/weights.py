"""Where the weights of a local model are, and what it can do: the part of a catalogue entry that only those have."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GB = 10**9

#: By family, the parameters that an entry of the catalogue lists, each with a default: a call needs them.
SETTLED = {
    "pictures": ("num_inference_steps", "width", "height"),
    "film": ("fps", "num_frames", "width", "height"),
    "caption": (),
}


class Adapter(BaseModel):
    """An IP-Adapter: further weights with which a model of pictures looks at a picture of the hero, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A folder, or a name on the Hugging Face hub. Nothing is downloaded by a worker.
    source: str
    revision: str | None = None
    #: The folder of ``weight_name`` below ``source``.
    subfolder: str = ""
    weight_name: str = Field(pattern=r"^[^/\\]+\.safetensors$")
    #: The folder of the CLIP vision model that looks at the picture, below ``source``.
    image_encoder_folder: str = "models/image_encoder"
    #: How much the picture counts beside the words.
    scale: float = Field(0.6, ge=0, le=1)

    @property
    def weight_path(self) -> str:
        """The file of the weights below ``source``."""
        return str(PurePosixPath(self.subfolder, self.weight_name))


class Weights(BaseModel):
    """One model that runs on a worker's own device. Only safetensors are loaded, and no code that lies beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What it makes, and from what.
    family: Literal["pictures", "film", "caption"]
    #: A folder, or a name on the Hugging Face hub. Nothing is downloaded by a worker.
    source: str
    revision: str | None = None
    #: ``auto``: float32 on the CPU; elsewhere bfloat16 for films and float16 for the rest.
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    #: What it needs on the device in GB, with what one usual call takes (of pictures: of one picture, alone); absent:
    #: reckoned from the files.
    need_gb: float | None = Field(None, ge=0)
    #: The same with ``low_vram``: the weights stay in main memory and are streamed.
    low_need_gb: float | None = Field(None, ge=0)
    #: What each further picture of the same call takes, in GB; absent: reckoned from its pixels.
    picture_gb: float | None = Field(None, ge=0)
    #: Whether the parts take turns on the device even without ``low_vram``.
    offload: bool = False
    #: The one size it was trained for, where it makes no other: it is made so and scaled to what was asked.
    native: tuple[int, int] | None = None
    #: Sizes are made in multiples of this and cut to what was asked.
    multiple_of: int = Field(8, ge=1)
    #: It makes ``frame_step * n + 1`` frames.
    frame_step: int = Field(1, ge=1)
    #: Whether it can begin with a picture, and whether it can do without one.
    takes_image: bool = False
    takes_text: bool = True
    #: Pipeline of diffusers for films that begin with a picture, where the weights name another.
    image_pipeline: str | None = None
    #: Pictures in one call at most. Memory may allow fewer.
    most_batch: int = Field(32, ge=1)
    steps: int = Field(25, ge=1)
    guidance: float | None = None
    #: For stories whose hero is shown by a picture.
    adapter: Adapter | None = None
    #: Of a captioner: a CLIP model that ranks words, and the words.
    ranker: str | None = None

    def frames_for(self, wanted: int) -> int:
        """The least number of frames that it can make and that holds ``wanted``."""
        return -(-(wanted - 1) // self.frame_step) * self.frame_step + 1

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """The size it makes where ``width`` x ``height`` is wanted."""
        if self.native is not None:
            return self.native
        step = self.multiple_of
        return -(-width // step) * step, -(-height // step) * step
