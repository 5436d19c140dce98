"""Catalogue entry of Pika.

Pika publishes no price list, so the price is 0.00 until the operator sets ``price`` in ``[[models]]``. A budget cannot
limit calls without a price.
"""

from __future__ import annotations

from providers.catalogue import Model, Parameter
from schemas.settings import Settings

PIKA = Model(
    id="pika",
    provider="pika",
    types=("image-to-video",),
    remote="1.5",
    owned_by="pika",
    description="Moves a still image for about three seconds. Without a prompt the CLIP interrogator writes one.",
    parameters={
        "prompt": Parameter(description="What to show."),
        "frameRate": Parameter.integer(1, 24, 24, "Frames per second."),
        "motion": Parameter.integer(1, 4, 2, "Amount of motion."),
        "guidanceScale": Parameter(
            kind="number", minimum=5, maximum=25, default=16, description="How closely the prompt is followed."
        ),
        "aspectRatio": Parameter.choice(
            "16:9", "9:16", "1:1", "5:2", "4:5", "4:3", description="Default: the image's own."
        ),
        "negativePrompt": Parameter(description="What should not appear."),
        "seed": Parameter.integer(0, 2**32 - 1, description="The same seed gives a similar video."),
    },
    # As in the I2V system: wait five minutes before the first poll, then poll for seven minutes.
    first_wait_seconds=300,
    poll_seconds=10,
    timeout_seconds=300 + 420,
)

MODELS: tuple[Model, ...] = (PIKA,)


def configured(settings: Settings) -> tuple[Model, ...]:
    """Return ``MODELS`` with Pika's waits from ``INITIAL_WAIT_TIME`` and ``MAX_CHECK_TIME``."""
    waits = {
        "first_wait_seconds": settings.pika_first_wait_seconds,
        "timeout_seconds": settings.pika_first_wait_seconds + settings.pika_check_seconds,
    }
    return (PIKA.model_copy(update=waits),)
