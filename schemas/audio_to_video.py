"""Parameters of ``audio-to-video``: a portrait that speaks or sings."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from schemas.generation import PARAMETERS_HELP, Generation, ModelNames, Parameters, Resolution
from schemas.reference import MediaReference
from schemas.text_to_video import MAX_PROMPT_CHARACTERS


class AudioToVideo(Generation):
    """``data`` of an ``audio-to-video`` request. Field names are those of the Cococlip service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"image": "s3://inbox/portrait.jpg", "audio": "s3://inbox/voice.mp3", "resolution": "1080p"},
            ]
        }
    )

    image: MediaReference = Field(description="The portrait: JPEG, PNG or WebP, at most 50 MB.")
    audio: MediaReference = Field(description="The voice: MP3 or WAV, at most 50 MB.")
    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS, description="How the portrait moves; may be empty.")
    model: ModelNames = Field(
        "Infinitetalk", description="A model for audio-to-video, or several in order of preference."
    )
    resolution: Resolution | None = Field(None, description="Such as 720p. Default: the model's.")
    audio_duration: float | None = Field(
        None, gt=0, le=4 * 3600, allow_inf_nan=False, description="Seconds. Default: measured from the file."
    )
    parameters: Parameters = Field({}, description=PARAMETERS_HELP)
