"""The parameters of an ``image-to-video``: a still picture is animated."""

from __future__ import annotations

import html
import re
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from schemas.errors import InvalidField
from schemas.generation import (
    PARAMETERS_HELP,
    AspectRatio,
    Backend,
    Consent,
    FilmHeight,
    FilmWidth,
    Fps,
    Generation,
    LowVram,
    ModelNames,
    NumFrames,
    Parameters,
    Resolution,
    Seconds,
    Seed,
)
from schemas.reference import MediaReference
from schemas.text_to_video import MAX_PROMPT_CHARACTERS

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos);")


def _image_id(schema: dict[str, Any]) -> None:
    """Tells the published schema of the older name, which is read but not kept."""
    properties = schema["properties"]
    properties["image_id"] = {
        "type": "string",
        "minLength": 1,
        "description": "The same as `image`, as the I2V service called it; HTML escapes in it are undone.",
    }
    schema["required"] = [name for name in schema.get("required", []) if name != "image"]
    if not schema["required"]:
        del schema["required"]
    schema["anyOf"] = [{"required": ["image"]}, {"required": ["image_id"]}]
    schema["examples"] = [
        {"image": "s3://inbox/cover.jpg"},
        {"image": "s3://inbox/cover.jpg", "model": ["wan25fast", "hailuo23fast"], "prompt": "She smiles and waves"},
    ]


class ImageToVideo(Generation):
    """``data`` of a request of type ``image-to-video``. Names are those of the I2V and Cococlip services."""

    model_config = ConfigDict(json_schema_extra=_image_id)

    image: MediaReference = Field(description="JPEG, PNG or WebP, at most 50 MB.")
    prompt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
        pattern=r"\S",
        description="How it moves. Absent: written from the image, if pika or a local model is among the models.",
    )
    model: ModelNames = Field("pika", description="A model for image-to-video, or several in the order of preference.")
    duration: Seconds | None = Field(None, description="Seconds; a choice of the model. Default: the model's.")
    resolution: Resolution | None = Field(None, description="Such as 720p. Default: the model's.")
    aspect_ratio: AspectRatio | None = Field(None, description="Such as 16:9. Default: the model's.")
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARACTERS, description="What is not to be seen.")
    seed: Seed | None = Field(None, description="For models that take one.")
    fps: Fps = None
    num_frames: NumFrames = None
    width: FilmWidth = None
    height: FilmHeight = None
    prefer_backend: Backend = None
    low_vram: LowVram = None
    lawful_use_consent: Consent = None
    parameters: Parameters = Field({}, description=PARAMETERS_HELP)

    @model_validator(mode="before")
    @classmethod
    def _names_of_the_sources(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "image_id" not in data:
            return data
        named = data["image_id"]
        if not isinstance(named, str):
            raise InvalidField("data.image_id: must be a text", field="data.image_id")
        image = _ENTITY.sub(lambda entity: html.unescape(entity[0]), named)
        if data.get("image", image) != image:
            raise InvalidField("data.image_id: names another file than data.image; give one", field="data.image_id")
        return {name: value for name, value in data.items() if name != "image_id"} | {"image": image}
