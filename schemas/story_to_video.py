"""Parameters of ``story-to-video``: one film, with crossfades, from scenes described in words."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.errors import InvalidField, MissingField
from schemas.generation import Generation, ModelNames, Seed
from schemas.reference import MediaReference
from schemas.text_to_image import DEFAULT_MODEL, Side, Steps
from schemas.text_to_video import MAX_PROMPT_CHARACTERS

Scene = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"\S")]
#: The longest film: ten minutes at 60 frames a second.
MAX_FRAMES = 36_000


class StoryToVideo(Generation):
    """``data`` of a ``story-to-video`` request. Field names are those of the Image and Video Generation API."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hero_description": "a brave knight in silver armor with a red cloak",
                    "scenes": ["standing in front of a castle gate", "fighting a dragon in a cave"],
                }
            ]
        }
    )

    scenes: list[Scene] = Field(
        min_length=2, max_length=100, description="Descriptions of the scenes, in order; at least 2."
    )
    hero_description: str = Field(
        "", max_length=1000, description="The character in every scene; put before each scene, with a comma."
    )
    num_inference_steps: Steps = Field(25, description="Denoising steps for each image, 10 to 50.")
    duration_per_scene: float = Field(3.0, gt=0, le=60, description="Seconds that each scene is shown.")
    fps: int = Field(24, ge=1, le=60, description="Frames per second.")
    width: Side = Field(512, description="Pixels, a multiple of 8.")
    height: Side = Field(512, description="Pixels, a multiple of 8.")
    transition_frames: int = Field(
        12, ge=0, le=240, description="Frames of each crossfade, in addition to those of the scenes."
    )
    model: ModelNames = Field(DEFAULT_MODEL, description="A model for story-to-video.")
    seed: Seed | None = Field(None, description="Seed of the first scene; each later scene uses the next number.")
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARACTERS, description="What must not be visible.")
    consistency: Literal["prompt", "shared-attention", "reference"] = Field(
        "prompt",
        description="How the hero is kept the same in all scenes. prompt: the same words before each scene. "
        "shared-attention: in addition, scenes generated together attend to each other. reference: every scene is "
        "conditioned on an image of the hero; only for models with an adapter.",
    )
    hero_image: MediaReference | None = Field(
        None,
        description="Image of the hero for consistency reference: JPEG or PNG, at most 50 MB. Default: generated from "
        "hero_description first.",
    )

    audio: MediaReference | None = Field(
        None,
        exclude_if=lambda value: value is None,  # so that the version before can read what is stored
        description="Sound under the video: MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB. It is cut to "
        "the length of the video, and then fades out in the last second. Default: the video is silent.",
    )

    @property
    def frames_per_scene(self) -> int:
        """Frames that each scene is shown for."""
        return max(1, round(self.duration_per_scene * self.fps))

    @property
    def frames(self) -> int:
        """Frames of the whole film: all scenes, and a crossfade between each two."""
        return len(self.scenes) * self.frames_per_scene + (len(self.scenes) - 1) * self.transition_frames

    @property
    def prompts(self) -> list[str]:
        """Prompts of the images: the hero's description, then the scene."""
        hero = self.hero_description.strip()
        return [f"{hero}, {scene}" if hero else scene for scene in self.scenes]

    def explicit_parameters(self) -> dict[str, Any]:
        """Return the parameters for the image model, with the longest of the prompts."""
        named: dict[str, Any] = {
            "num_inference_steps": self.num_inference_steps,
            "width": self.width,
            "height": self.height,
            "seed": self.seed,
            "negative_prompt": self.negative_prompt,
        }
        longest = max(self.prompts, key=len)
        return {"prompt": longest} | {name: value for name, value in named.items() if value is not None}

    def field_path(self, name: str) -> str:
        """Return the path of a model parameter in the request; prompts are made from ``data.scenes``."""
        return "data.scenes" if name == "prompt" else super().field_path(name)

    CHECKED_TOGETHER: ClassVar[frozenset[str]] = frozenset(
        ("scenes", "duration_per_scene", "fps", "transition_frames", "consistency", "hero_image", "hero_description")
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.frames > MAX_FRAMES:
            raise InvalidField(
                f"data.scenes: the film would have {self.frames:,} frames, the limit is {MAX_FRAMES:,}",
                field="data.scenes",
            )
        if self.consistency == "reference" and self.hero_image is None and not self.hero_description.strip():
            raise MissingField(
                "data.hero_image: consistency reference requires an image of the hero, or a data.hero_description to "
                "generate one from",
                field="data.hero_image",
            )
        if self.consistency != "reference" and self.hero_image is not None:
            raise InvalidField(
                "data.hero_image: is used with consistency reference only; set data.consistency to reference",
                field="data.hero_image",
            )
        return self
