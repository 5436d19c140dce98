"""Parameters of ``text-to-image``: an image from a description."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from schemas.generation import PARAMETERS_HELP, Generation, ModelNames, Parameters, Seed
from schemas.text_to_video import MAX_PROMPT_CHARACTERS, Prompt

DEFAULT_MODEL = "segmind/tiny-sd"
Steps = Annotated[int, Field(ge=10, le=50)]
Side = Annotated[int, Field(ge=32, le=2048, multiple_of=8)]


class TextToImage(Generation):
    """``data`` of a ``text-to-image`` request. Field names are those of the Image and Video Generation API."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "A cute robot playing guitar", "num_inference_steps": 30},
                {"prompt": "a big red circle, at night", "model": "demo-shapes", "seed": 7, "return_base64": True},
            ]
        }
    )
    NON_PARAMETERS: ClassVar[frozenset[str]] = Generation.NON_PARAMETERS | {"return_base64"}

    prompt: Prompt = Field(description="What the image shows.")
    num_inference_steps: Steps | None = Field(None, description="Denoising steps, 10 to 50. Default: 25.")
    return_base64: bool = Field(False, description="Include the image in the callback, if it has at most 1 MiB.")
    model: ModelNames = Field(
        DEFAULT_MODEL, description="A model for text-to-image, or several in order of preference."
    )
    width: Side | None = Field(None, description="Pixels, a multiple of 8. Default: the model's.")
    height: Side | None = Field(None, description="Pixels, a multiple of 8. Default: the model's.")
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARACTERS, description="What must not be visible.")
    seed: Seed | None = Field(None, description="The same seed gives the same image. Default: chosen per job.")
    parameters: Parameters = Field({}, description=PARAMETERS_HELP)
