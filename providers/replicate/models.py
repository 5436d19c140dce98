"""Catalogue entries of Replicate. Operators add its other models with ``[[models]]`` in the settings file.

Replicate does not report what a call costs, and its prices depend on the model, so they are 0.00 until the operator
sets ``price`` in ``[[models]]``. A budget cannot limit calls without a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.catalogue import Model, Parameter
from schemas.settings import Settings

#: The model version used by the I2V system.
CLIP_VERSION = "8151e1c9f47e696fa316146a2e35812ccf79cfc9eba05b11c7f450155102af70"

CLIP_INTERROGATOR = Model(
    id="clip-interrogator",
    provider="replicate",
    types=("image-to-prompt",),
    remote=CLIP_VERSION,
    owned_by="pharmapsychotic",
    description="Writes a prompt that describes a given image.",
    parameters={
        "mode": Parameter(
            kind="choice",
            choices=("best", "fast", "classic", "negative"),
            default="best",
            description="best takes 10 to 20 s, fast 1 to 2 s.",
        ),
        "clip_model_name": Parameter(
            kind="choice",
            choices=("ViT-L-14/openai", "ViT-H-14/laion2b_s32b_b79k", "ViT-bigG-14/laion2b_s39b_b160k"),
            default="ViT-L-14/openai",
            description="ViT-L for Stable Diffusion 1, ViT-H for 2, ViT-bigG for XL.",
        ),
    },
    first_wait_seconds=2,
    poll_seconds=2,
    usual_seconds=15,
    # A run may take 30 minutes, and results are kept for one hour.
    timeout_seconds=1800,
)

_TEXT, _IMAGE, _AUDIO = "text-to-video", "image-to-video", "audio-to-video"
_PROMPT = Parameter(required=True, longest=2000, description="What to show.")
_SEED = Parameter.integer(0, 2**31 - 1)


def _video(name: str, page: str, types: tuple[str, ...], parameters: Mapping[str, Parameter], **fields: Any) -> Model:
    owner, _, id_ = name.partition("/")
    return Model(
        id=id_,
        provider="replicate",
        types=types,
        remote=name,
        owned_by=owner,
        documentation=page,
        parameters=parameters,
        first_wait_seconds=5,
        poll_seconds=5,
        # A run may take 30 minutes, and results are kept for one hour.
        timeout_seconds=1800,
        **fields,
    )


_HAILUO = {
    "prompt": _PROMPT,
    "duration": Parameter.choice(6, 10, default=6, description="Seconds; 10 only with 768p or less."),
    "prompt_optimizer": Parameter(kind="switch", description="Let the provider improve the prompt; its default: true."),
}

HAILUO_02 = _video(
    "minimax/hailuo-02",
    "https://replicate.com/minimax/hailuo-02/versions/"
    "c43b610efe40d08a28d2c07cb3515dab1cd3324dfc7418f3304a092571071d22/api",
    (_TEXT, _IMAGE),
    {**_HAILUO, "resolution": Parameter.choice("512p", "768p", "1080p", default="768p", description="1080p is Pro.")},
    names={"image": "first_frame_image"},
    description="Hailuo 02: Standard up to 768p, Pro with 1080p.",
)

HAILUO_23_FAST = _video(
    "minimax/hailuo-2.3-fast",
    "https://replicate.com/minimax/hailuo-2.3-fast",
    (_IMAGE,),
    {**_HAILUO, "resolution": Parameter.choice("768p", "1080p", default="768p")},
    names={"image": "first_frame_image"},
    description="Hailuo 2.3 Fast: animates an image.",
)

SEEDANCE_1_LITE = _video(
    "bytedance/seedance-1-lite",
    "https://replicate.com/bytedance/seedance-1-lite",
    (_TEXT, _IMAGE),
    {
        "prompt": _PROMPT,
        "duration": Parameter.integer(2, 12, default=5, description="Seconds."),
        "resolution": Parameter.choice("480p", "720p", "1080p", default="720p"),
        "aspect_ratio": Parameter.choice(
            "16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21", default="16:9", description="Ignored with an image."
        ),
        "camera_fixed": Parameter(kind="switch"),
        "seed": _SEED,
    },
    fixed={"fps": 24},
    description="Seedance 1.0 Lite: video from text or an image. ByteDance is retiring Seedance 1.0.",
)

WAN_25_FAST = _video(
    "wan-video/wan-2.5-i2v-fast",
    "https://replicate.com/wan-video/wan-2.5-i2v-fast",
    (_IMAGE,),
    {
        "prompt": _PROMPT,
        "negative_prompt": Parameter(longest=500, description="What should not appear."),
        "resolution": Parameter.choice("720p", "1080p", default="720p"),
        "duration": Parameter.choice(5, 10, default=5, description="Seconds."),
        "enable_prompt_expansion": Parameter(kind="switch", description="The provider's default: true."),
        "seed": _SEED,
    },
    description="Wan 2.5 Fast: animates an image.",
)

P_VIDEO_AVATAR = _video(
    "prunaai/p-video-avatar",
    "https://replicate.com/prunaai/p-video-avatar",
    (_AUDIO,),
    {
        "prompt": Parameter(longest=2000, default="The person is talking.", description="How the portrait moves."),
        "resolution": Parameter.choice("720p", "1080p", default="720p"),
        "audio_duration": Parameter(kind="number", minimum=0.01, description="Measured from the file; for the price."),
        "seed": _SEED,
    },
    names={"prompt": "video_prompt", "audio_duration": ""},
    description="Pruna Video Avatar: makes a portrait speak. The video is as long as the audio.",
)

VIDEO_MODELS = (HAILUO_02, HAILUO_23_FAST, SEEDANCE_1_LITE, WAN_25_FAST, P_VIDEO_AVATAR)

MODELS: tuple[Model, ...] = (CLIP_INTERROGATOR, *VIDEO_MODELS)


def configured(settings: Settings) -> tuple[Model, ...]:
    """Return ``MODELS`` with ``REPLICATE_MODEL_ID`` as the CLIP interrogator's version."""
    return (CLIP_INTERROGATOR.model_copy(update={"remote": settings.replicate_model_id}), *VIDEO_MODELS)
