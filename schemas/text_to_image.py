"""The parameters of a ``text-to-image``: a description becomes a picture."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from schemas.generation import PARAMETERS_HELP, Generation, ModelNames, Parameters, Seed
from schemas.text_to_video import MAX_PROMPT_CHARACTERS, Prompt

DEFAULT_MODEL = "segmind/tiny-sd"
Steps = Annotated[int, Field(ge=10, le=50)]
Side = Annotated[int, Field(ge=32, le=2048, multiple_of=8)]


class TextToImage(Generation):
    """``data`` of a request of type ``text-to-image``. Names are those of the Image and Video Generation API."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "A cute robot playing guitar", "num_inference_steps": 30},
                {"prompt": "a big red circle, at night", "model": "demo-shapes", "seed": 7, "return_base64": True},
            ]
        }
    )
    OWN: ClassVar[frozenset[str]] = Generation.OWN | {"return_base64"}

    prompt: Prompt = Field(description="What is to be seen.")
    num_inference_steps: Steps | None = Field(None, description="Denoising steps, 10 to 50. Default: 25.")
    return_base64: bool = Field(
        False, description="Whether the callback carries the picture itself; only where it has at most 1 MiB."
    )
    model: ModelNames = Field(DEFAULT_MODEL, description="A model for text-to-image, or several in order.")
    width: Side | None = Field(None, description="Pixels, a multiple of 8. Default: the model's.")
    height: Side | None = Field(None, description="Pixels, a multiple of 8. Default: the model's.")
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARACTERS, description="What is not to be seen.")
    seed: Seed | None = Field(None, description="The same seed gives the same picture. Default: one of the job's own.")
    parameters: Parameters = Field({}, description=PARAMETERS_HELP)
