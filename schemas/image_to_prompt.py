"""Parameters of ``image-to-prompt``: a text that describes an image."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.generation import PARAMETERS_HELP, Generation, ModelNames, Parameters
from schemas.reference import MediaReference


class ImageToPrompt(Generation):
    """``data`` of an ``image-to-prompt`` request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"image": "s3://inbox/cover.jpg"}, {"image": "s3://inbox/c.jpg", "mode": "fast"}]
        }
    )

    image: MediaReference = Field(description="JPEG, PNG or WebP, at most 50 MB.")
    mode: Literal["best", "fast", "classic", "negative"] | None = Field(
        None, description="How thorough the description is. Default: the model's; for clip-interrogator, best."
    )
    model: ModelNames = Field(
        "clip-interrogator", description="A model for image-to-prompt, or several in order of preference."
    )
    parameters: Parameters = Field({}, description=PARAMETERS_HELP)
