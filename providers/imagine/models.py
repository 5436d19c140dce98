"""Catalogue entry of Imagine.art.

Imagine.art publishes no price list, so the price is 0.00 until the operator sets ``price`` in ``[[models]]``. A budget
cannot limit calls without a price.
"""

from __future__ import annotations

from providers.catalogue import Model, Parameter

IMAGINE = Model(
    id="imagine-text-to-video",
    provider="imagine",
    types=("text-to-video",),
    owned_by="imagine.art",
    description="Video from text in a chosen style.",
    parameters={
        "prompt": Parameter(longest=2000, required=True, description="What to show."),
        "duration": Parameter.choice(5, 6, 12, default=5, description="Seconds."),
        "resolution": Parameter.choice("720p", "1080p", default="720p"),
        "aspect_ratio": Parameter.choice("16:9", "9:16", "4:3", "1:1", default="16:9"),
        "style_id": Parameter.integer(
            0, 2**31 - 1, description="One of TELECINE_IMAGINE_STYLES. Default: its default."
        ),
        "is_enhance": Parameter(kind="switch", default=False, description="Let the provider improve the prompt."),
    },
    first_wait_seconds=5,
    poll_seconds=5,
    timeout_seconds=1800,
    routes=("seedance-1-lite",),
)

MODELS: tuple[Model, ...] = (IMAGINE,)
