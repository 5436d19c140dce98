"""Catalogue entries of Replicate. Operators add its other models with ``[[models]]`` in the settings file.

Replicate bills by the second of the hardware that a model runs on, so the price per call is 0.00 until the operator
sets ``price`` in ``[[models]]``. A budget cannot limit calls without a price.
"""

from __future__ import annotations

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

MODELS: tuple[Model, ...] = (CLIP_INTERROGATOR,)


def configured(settings: Settings) -> tuple[Model, ...]:
    """Return ``MODELS`` with ``REPLICATE_MODEL_ID`` as the CLIP interrogator's version."""
    return (CLIP_INTERROGATOR.model_copy(update={"remote": settings.replicate_model_id}),)
