"""Parameters of ``image-to-video``: an animated still image."""

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
    """Add the alias ``image_id`` to the published JSON Schema; the parser turns it into ``image``."""
    properties = schema["properties"]
    properties["image_id"] = {
        "type": "string",
        "minLength": 1,
        "description": "Alias of `image` from the I2V service. HTML entities in it are decoded.",
    }
    schema["required"] = [name for name in schema.get("required", []) if name != "image"]
    if not schema["required"]:
        del schema["required"]
    given = {"type": "string"}
    schema["anyOf"] = [{"required": [name], "properties": {name: given}} for name in ("image", "image_id")]
    schema["examples"] = [
        {"image": "s3://inbox/cover.jpg"},
        {"image": "s3://inbox/cover.jpg", "model": ["wan25fast", "hailuo23fast"], "prompt": "She smiles and waves"},
    ]


class ImageToVideo(Generation):
    """``data`` of an ``image-to-video`` request. Field names are those of the I2V and Cococlip services."""

    model_config = ConfigDict(json_schema_extra=_image_id)

    image: MediaReference = Field(description="JPEG, PNG or WebP, at most 50 MB.")
    prompt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
        pattern=r"\S",
        description="How the image moves. Default: generated from the image, if a model is pika or a local one.",
    )
    model: ModelNames = Field("pika", description="A model for image-to-video, or several in order of preference.")
    duration: Seconds | None = Field(
        None, description="Seconds; which values are valid depends on the model. Default: the model's."
    )
    resolution: Resolution | None = Field(None, description="Such as 720p. Default: the model's.")
    aspect_ratio: AspectRatio | None = Field(None, description="Such as 16:9. Default: the model's.")
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARACTERS, description="What must not be visible.")
    seed: Seed | None = Field(None, description="For models that support one.")
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
    def _resolve_image_id(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "image_id" not in data:
            return data
        named = data["image_id"]
        if named is None:
            return {name: value for name, value in data.items() if name != "image_id"}
        if not isinstance(named, str):
            raise InvalidField("data.image_id: must be a string", field="data.image_id")
        image = _ENTITY.sub(lambda entity: html.unescape(entity[0]), named)
        if data.get("image") not in (None, image):
            raise InvalidField("data.image_id: differs from data.image; send only one of them", field="data.image_id")
        return {name: value for name, value in data.items() if name != "image_id"} | {"image": image}
