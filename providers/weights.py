"""The part of a catalogue entry that only local models have: where the weights are and how the model runs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GB = 10**9

#: For each family the parameters that its catalogue entries must have, with a default.
REQUIRED_PARAMETERS = {
    "pictures": ("num_inference_steps", "width", "height"),
    "film": ("fps", "num_frames", "width", "height"),
    "caption": (),
}


class IPAdapter(BaseModel):
    """An IP-Adapter: additional weights that let an image model use a picture of the hero as reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A folder, or a name on the Hugging Face hub. Workers do not download it.
    source: str
    revision: str | None = None
    #: Folder of ``weight_name``, relative to ``source``.
    subfolder: str = ""
    weight_name: str = Field(pattern=r"^[^/\\]+\.safetensors$")
    #: Folder of the CLIP vision model that encodes the reference, relative to ``source``.
    image_encoder_folder: str = "models/image_encoder"
    #: Weight of the reference relative to the prompt.
    scale: float = Field(0.6, ge=0, le=1)

    @property
    def weight_path(self) -> str:
        """Path of the weights file, relative to ``source``."""
        return str(PurePosixPath(self.subfolder, self.weight_name))


class Weights(BaseModel):
    """Weights of a model that runs on a worker's device. Only safetensors are loaded, never code stored with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What the model generates: images, video or text.
    family: Literal["pictures", "film", "caption"]
    #: A folder, or a name on the Hugging Face hub. Workers do not download it.
    source: str
    revision: str | None = None
    #: Variant of the files on the hub, such as ``fp16``: smaller files of the same model. Where a component has none,
    #: its plain files are used.
    variant: str | None = Field(None, pattern=r"^\w+$")
    #: ``auto`` means float32 on the CPU, otherwise bfloat16 for video and float16 for the rest.
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    #: Device memory in GB for the weights and one typical call (for images: one image). Default: estimated from the
    #: files.
    need_gb: float | None = Field(None, ge=0)
    #: The same with ``low_vram``: the weights stay in main memory and are streamed.
    low_need_gb: float | None = Field(None, ge=0)
    #: Device memory in GB for each further image of the same call. Default: estimated from its pixels.
    picture_gb: float | None = Field(None, ge=0)
    #: Whether the components take turns on the device even without ``low_vram``.
    offload: bool = False
    #: The only size the model can generate, if there is one; results are scaled to the requested size.
    native: tuple[int, int] | None = None
    #: Sizes are rounded up to a multiple of this; results are cropped to the requested size.
    multiple_of: int = Field(8, ge=1)
    #: The model generates ``frame_step * n + 1`` frames.
    frame_step: int = Field(1, ge=1)
    #: Whether the model can start from an image, and whether it can run without one.
    takes_image: bool = False
    takes_text: bool = True
    #: The diffusers pipeline that starts from an image, if it is not the one that the weights name.
    image_pipeline: str | None = None
    #: Maximum number of images per call. Memory may allow fewer.
    most_batch: int = Field(32, ge=1)
    steps: int = Field(25, ge=1)
    guidance: float | None = None
    #: For stories with a reference image of the hero.
    adapter: IPAdapter | None = None
    #: For captioners: the CLIP model that ranks phrases.
    ranker: str | None = None

    def frames_for(self, wanted: int) -> int:
        """Return the smallest number of frames the model can generate that is at least ``wanted``."""
        return -(-(wanted - 1) // self.frame_step) * self.frame_step + 1

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """Return the size that the model generates for a requested ``width`` x ``height``."""
        if self.native is not None:
            return self.native
        step = self.multiple_of
        return -(-width // step) * step, -(-height // step) * step
