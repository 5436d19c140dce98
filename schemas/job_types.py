"""Job types that this version can run, with the model of each type's ``data``."""

from __future__ import annotations

from pydantic import BaseModel

from schemas.audio_to_captions import AudioToCaptions
from schemas.audio_to_video import AudioToVideo
from schemas.image_to_prompt import ImageToPrompt
from schemas.image_to_video import ImageToVideo
from schemas.reel import Reel
from schemas.story_to_video import StoryToVideo
from schemas.text_to_image import TextToImage
from schemas.text_to_video import TextToVideo

JOB_TYPES: dict[str, type[BaseModel]] = {
    "reel": Reel,
    "text-to-image": TextToImage,
    "story-to-video": StoryToVideo,
    "text-to-video": TextToVideo,
    "image-to-video": ImageToVideo,
    "audio-to-video": AudioToVideo,
    "image-to-prompt": ImageToPrompt,
    "audio-to-captions": AudioToCaptions,
}
