"""Catalogue entries of RunPod's public endpoints, as their pages describe them.

Prices are those of the pages in November 2026: they are reserved before a call and replaced by the cost that RunPod
reports with the result. Operators correct them, and add other endpoints, with ``[[models]]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.catalogue import Model, Parameter

_PAGES = "https://docs.runpod.io/public-endpoints/models/"
_TEXT, _IMAGE, _AUDIO = "text-to-video", "image-to-video", "audio-to-video"
#: The largest seed; -1 means a random one.
_SEED = Parameter.integer(-1, 2**31 - 1)
_PROMPT = Parameter(required=True, longest=2000, description="What to show.")
#: The endpoint requires a prompt, requests for a talking portrait need not have one.
_SPEECH = Parameter(longest=2000, default="The person is talking.", description="How the portrait moves.")
_AUDIO_SECONDS = Parameter(kind="number", minimum=0.01, description="Measured from the file; for the price.")
_NEGATIVE = Parameter(longest=2000, description="What should not appear.")
_EXPANSION = Parameter(kind="switch", description="Let the provider extend the prompt.")
_SAFETY = Parameter(kind="switch", description="Check the content. The provider's default: true.")


def _model(name: str, page: str, types: tuple[str, ...], parameters: Mapping[str, Parameter], **fields: Any) -> Model:
    return Model(
        id=f"runpod-{name}",
        provider="runpod-public",
        types=types,
        documentation=_PAGES + page,
        parameters=parameters,
        first_wait_seconds=5,
        poll_seconds=5,
        timeout_seconds=1800,
        **fields,
    )


INFINITETALK = _model(
    "infinitetalk",
    "infinitetalk",
    (_AUDIO,),
    {
        "prompt": _SPEECH,
        "resolution": Parameter.choice("480p", "720p", default="720p"),
        "audio_duration": _AUDIO_SECONDS,
        "enable_safety_checker": _SAFETY,
    },
    remote="infinitetalk",
    names={"resolution": "size", "audio_duration": ""},
    price="0.50",
    prices={"resolution": {"480p": "0.25", "720p": "0.50"}},
    description="Makes a portrait speak.",
)

WAN_25 = _model(
    "wan-2-5",
    "wan-2-5",
    (_IMAGE,),
    {
        "prompt": _PROMPT,
        "negative_prompt": _NEGATIVE,
        "resolution": Parameter.choice("720p", "1080p", default="720p"),
        "duration": Parameter.choice(5, 10, default=5, description="Seconds."),
        "seed": _SEED,
        "enable_prompt_expansion": _EXPANSION,
        "enable_safety_checker": _SAFETY,
    },
    remote="wan-2-5",
    names={"resolution": "size"},
    values={"resolution": {"720p": "1280*720", "1080p": "1920*1080"}},
    price="0.10",
    price_per="second",
    prices={"resolution": {"720p": "0.10", "1080p": "0.15"}},
    description="Wan 2.5: animates an image.",
)

WAN_26_IMAGE = _model(
    "wan-2-6-i2v",
    "wan-2-6-i2v",
    (_IMAGE,),
    {
        "prompt": _PROMPT,
        "negative_prompt": _NEGATIVE,
        "resolution": Parameter.choice("720p", "1080p", default="720p"),
        "duration": Parameter.choice(5, 10, 15, default=5, description="Seconds."),
        "shot_type": Parameter.choice("single", "multi"),
        "seed": _SEED,
        "enable_prompt_expansion": _EXPANSION,
        "enable_safety_checker": _SAFETY,
    },
    remote="wan-2-6-i2v",
    names={"resolution": "size"},
    values={"resolution": {"720p": "1280*720", "1080p": "1920*1080"}},
    price="0.10",
    price_per="second",
    prices={"resolution": {"720p": "0.10", "1080p": "0.15"}},
    description="Wan 2.6: animates an image.",
)

WAN_26_TEXT = _model(
    "wan-2-6-t2v",
    "wan-2-6-t2v",
    (_TEXT,),
    {
        "prompt": _PROMPT,
        "negative_prompt": _NEGATIVE,
        "size": Parameter.choice("1280*720", "1920*1080", "720*1280", "1080*1920", default="1280*720"),
        "duration": Parameter.choice(5, 10, 15, default=5, description="Seconds."),
        "shot_type": Parameter.choice("single", "multi"),
        "seed": _SEED,
        "enable_prompt_expansion": _EXPANSION,
    },
    remote="wan-2-6-t2v",
    price="0.10",
    price_per="second",
    prices={"size": {"1920*1080": "0.15", "1080*1920": "0.15"}},
    description="Wan 2.6: video from text.",
)

SEEDANCE_1_PRO = _model(
    "seedance-1-pro",
    "seedance-1-pro",
    (_TEXT, _IMAGE),
    {
        "prompt": _PROMPT,
        "duration": Parameter.choice(5, 10, default=5, description="Seconds."),
        "resolution": Parameter.choice("720p", "1080p", default="720p"),
        "aspect_ratio": Parameter.choice("16:9", default="16:9", description="The only one that the page documents."),
        "fps": Parameter.integer(1, 60, description="The provider's default: 24."),
    },
    remote="seedance-1-0-pro",
    names={"resolution": "size", "aspect_ratio": ""},
    values={"resolution": {"720p": "1280x720", "1080p": "1920x1080"}},
    price="0.054",
    price_per="second",
    prices={"resolution": {"720p": "0.054", "1080p": "0.122"}},
    owned_by="bytedance",
    description="Seedance 1.0 Pro: video from text or an image. ByteDance is retiring Seedance 1.0.",
)

SEEDANCE_15_PRO = _model(
    "seedance-1-5-pro",
    "seedance-1-5-pro",
    (_IMAGE,),
    {
        "prompt": _PROMPT,
        "duration": Parameter.integer(4, 12, default=5, description="Seconds."),
        "resolution": Parameter.choice("480p", "720p", default="720p"),
        "aspect_ratio": Parameter.choice("21:9", "16:9", "9:16", "1:1", "4:3", "3:4"),
        "camera_fixed": Parameter(kind="switch"),
        "generate_audio": Parameter(kind="switch"),
        "seed": _SEED,
    },
    remote="seedance-v1-5-pro-i2v",
    price="0.052",
    price_per="second",
    prices={"resolution": {"480p": "0.024", "720p": "0.052"}},
    owned_by="bytedance",
    description="Seedance 1.5 Pro: animates an image.",
)

_PRUNA = {
    "resolution": Parameter.choice("720p", "1080p", default="720p"),
    "fps": Parameter.choice(24, 48),
    "seed": Parameter.integer(0, 2**31 - 1),
    "draft": Parameter(kind="switch", description="A preview of lower quality for a quarter of the price."),
    "save_audio": Parameter(kind="switch"),
    "prompt_upsampling": Parameter(kind="switch", description="Let the provider improve the prompt."),
}
_PRUNA_PRICES = {"resolution": {"720p": "0.02", "1080p": "0.04"}}

P_VIDEO = _model(
    "p-video",
    "p-video",
    (_TEXT, _IMAGE),
    {
        "prompt": _PROMPT,
        "duration": Parameter.integer(1, 10, default=5, description="Seconds."),
        "aspect_ratio": Parameter.choice("16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "1:1"),
        **_PRUNA,
    },
    remote="p-video",
    price="0.02",
    price_per="second",
    prices=_PRUNA_PRICES,
    owned_by="pruna",
    description="Pruna Video: video from text or an image.",
)

P_VIDEO_AUDIO = _model(
    "p-video-audio",
    "p-video",
    (_AUDIO,),
    {"prompt": _SPEECH, "audio_duration": _AUDIO_SECONDS, **_PRUNA},
    remote="p-video",
    names={"audio_duration": ""},
    price="0.02",
    price_per="second",
    prices=_PRUNA_PRICES,
    owned_by="pruna",
    description="Pruna Video: an image that moves to the audio. The video is as long as the audio.",
)

MODELS: tuple[Model, ...] = (
    INFINITETALK,
    WAN_25,
    WAN_26_IMAGE,
    WAN_26_TEXT,
    SEEDANCE_1_PRO,
    SEEDANCE_15_PRO,
    P_VIDEO,
    P_VIDEO_AUDIO,
)
