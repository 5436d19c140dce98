"""Parameters of ``text-to-video``: a video from a description."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

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

#: The longest prompt that any model accepts; the catalogue has the limit of each model.
MAX_PROMPT_CHARACTERS = 2_000

Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT_CHARACTERS, pattern=r"\S")]


class TextToVideo(Generation):
    """``data`` of a ``text-to-video`` request. Field names are those of the Cococlip and Imagine.art services."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "seedancev1lite", "prompt": "A cat plays the piano in a jazz club", "duration": 5},
                {"model": ["imagine-text-to-video", "hailuo02standard"], "prompt": "Rain on a tin roof"},
            ]
        }
    )

    prompt: Prompt = Field(description="What the video shows; most models accept 1,000 characters.")
    model: ModelNames = Field(description="A model for text-to-video, or several in order of preference.")
    duration: Seconds | None = Field(
        None, description="Seconds; which values are valid depends on the model. Default: the model's."
    )
    resolution: Resolution | None = Field(None, description="Such as 720p. Default: the model's.")
    aspect_ratio: AspectRatio | None = Field(None, description="Such as 16:9. Default: the model's.")
    style_id: int | None = Field(None, ge=0, le=2**31 - 1, description="Style of imagine-text-to-video.")
    is_enhance: bool | None = Field(None, description="Whether imagine-text-to-video improves the prompt.")
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
