"""Catalogue entries of Pika, Cococlip and Imagine.art.

None of the three publishes a price list, so prices are 0.00 until the operator sets ``price`` in ``[[models]]``. A
budget cannot limit calls without a price.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.catalogue import Model, Parameter, Scalar
from schemas.settings import Settings

_TEXT = "text-to-video"
_IMAGE = "image-to-video"
_AUDIO = "audio-to-video"


def _choice(*choices: Scalar, default: Scalar | None = None, description: str = "") -> Parameter:
    return Parameter(kind="choice", choices=choices, default=default, description=description)


def _whole(low: int, high: int, default: int | None = None, description: str = "") -> Parameter:
    return Parameter(kind="integer", minimum=low, maximum=high, default=default, description=description)


def _prompt(longest: int | None, *, required: bool = True) -> Parameter:
    return Parameter(longest=longest, required=required, description="What to show.")


PIKA = Model(
    id="pika",
    provider="pika",
    types=(_IMAGE,),
    remote="1.5",
    owned_by="pika",
    description="Moves a still image for about three seconds. Without a prompt the CLIP interrogator writes one.",
    parameters={
        "prompt": _prompt(None, required=False),
        "frameRate": _whole(1, 24, 24, "Frames per second."),
        "motion": _whole(1, 4, 2, "Amount of motion."),
        "guidanceScale": Parameter(
            kind="number", minimum=5, maximum=25, default=16, description="How closely the prompt is followed."
        ),
        "aspectRatio": _choice("16:9", "9:16", "1:1", "5:2", "4:5", "4:3", description="Default: the image's own."),
        "negativePrompt": Parameter(description="What should not appear."),
        "seed": _whole(0, 2**32 - 1, description="The same seed gives a similar video."),
    },
    # As in the I2V system: wait five minutes before the first poll, then poll for seven minutes.
    first_wait_seconds=300,
    poll_seconds=10,
    timeout_seconds=300 + 420,
)


def _cococlip(id: str, kind: str, job_type: str, parameters: Mapping[str, Parameter], words: str) -> Model:  # noqa: A002
    return Model(
        id=id,
        provider="cococlip",
        types=(job_type,),
        remote=f"{kind}/{id}",
        owned_by="cococlip",
        description=words,
        parameters=parameters,
        first_wait_seconds=10,
        poll_seconds=10,
        timeout_seconds=1800,
    )


_COCOCLIP = (
    _cococlip(
        "hailuo02standard",
        "text2video",
        _TEXT,
        {"prompt": _prompt(1000), "duration": _choice(6, default=6, description="Seconds.")},
        "The best quality from text.",
    ),
    _cococlip(
        "seedancev1lite",
        "text2video",
        _TEXT,
        {
            "prompt": _prompt(1000),
            "duration": _choice(5, 10, default=5, description="Seconds."),
            "resolution": _choice("720p", "1080p", default="720p"),
            "aspect_ratio": _choice("9:16", "16:9", "1:1", default="16:9"),
        },
        "Light, in three aspect ratios.",
    ),
    _cococlip(
        "hailuo23fast",
        "image2video",
        _IMAGE,
        {
            "prompt": _prompt(500),
            "resolution": _choice("768p", default="768p", description="Fixed by the model."),
            "duration": _choice(6, 10, default=6, description="Seconds."),
        },
        "Animates an image quickly.",
    ),
    _cococlip(
        "wan25fast",
        "image2video",
        _IMAGE,
        {
            "prompt": _prompt(500),
            "resolution": _choice("720p", "1080p", default="720p"),
            "duration": _choice(5, 10, default=5, description="Seconds."),
            "negative_prompt": Parameter(longest=500, description="What should not appear."),
        },
        "Animates an image in high quality.",
    ),
    _cococlip(
        "Infinitetalk",
        "audio2video",
        _AUDIO,
        {
            "prompt": _prompt(500, required=False),
            "resolution": _choice("720p", "1080p", default="1080p"),
            "audio_duration": Parameter(
                kind="number", minimum=0.01, description="Seconds. Default: measured from the file."
            ),
        },
        "Makes a portrait speak. The video is as long as the audio.",
    ),
)

_IMAGINE = Model(
    id="imagine-text-to-video",
    provider="imagine",
    types=(_TEXT,),
    owned_by="imagine.art",
    description="Video from text in a chosen style.",
    parameters={
        "prompt": _prompt(2000),
        "duration": _choice(5, 6, 12, default=5, description="Seconds."),
        "resolution": _choice("720p", "1080p", default="720p"),
        "aspect_ratio": _choice("16:9", "9:16", "4:3", "1:1", default="16:9"),
        "style_id": _whole(0, 2**31 - 1, description="One of TELECINE_IMAGINE_STYLES. Default: its default."),
        "is_enhance": Parameter(kind="switch", default=False, description="Let the provider improve the prompt."),
    },
    first_wait_seconds=5,
    poll_seconds=5,
    timeout_seconds=1800,
)

MODELS: tuple[Model, ...] = (*_COCOCLIP, _IMAGINE, PIKA)


def configured(settings: Settings) -> tuple[Model, ...]:
    """Return ``MODELS`` with Pika's waits from ``INITIAL_WAIT_TIME`` and ``MAX_CHECK_TIME``."""
    waits = {
        "first_wait_seconds": settings.pika_first_wait_seconds,
        "timeout_seconds": settings.pika_first_wait_seconds + settings.pika_check_seconds,
    }
    return tuple(model.model_copy(update=waits) if model is PIKA else model for model in MODELS)
