"""Catalogue entries of the local models. They cost nothing; the operator supplies their weights.

The two ``demo-`` models ship with Telecine: they only draw and describe colored shapes on eight backgrounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from providers.catalogue import Model, Parameter
from providers.weights import IPAdapter, Weights

_DEMONSTRATION = Path(__file__).resolve().parent / "demonstration"
_PICTURES = ("text-to-image", "story-to-video")
_TEXT, _IMAGE = "text-to-video", "image-to-video"
#: IP-Adapters for reference images, with the ViT-H encoder that both use.
_ADAPTERS = "h94/IP-Adapter"
#: The commits that `telecine models pull` downloads, unless an entry has a revision of its own.
PINNED_REVISIONS = {
    "segmind/tiny-sd": "cad0bd7495fa6c4bcca01b19a723dc91627fe84f",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "stabilityai/stable-diffusion-xl-base-1.0": "462165984030d82259a11f4367a4eed129e94a7b",
    _ADAPTERS: "018e402774aeeddd60609b4ecdb7e298259dc729",
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": "b8fff7315c768468a5333511427288870b2e9635",
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": "0fad780a534b6463e45facd96134c9f345acfa5b",
    "genmo/mochi-1-preview": "14be5fcea23095ed330cb214647916a451e38b6e",
    "Lightricks/LTX-Video": "8984fa25007f376c1a299016d0957a37a2f797bb",
    "Salesforce/blip-image-captioning-base": "82a37760796d32b1411fe092ab5d4e227313294b",
    "openai/clip-vit-large-patch14": "32bd64288804d66eefd0ccbe215aa642df71cc41",
}
#: Backend names of the local video service; ``""`` and ``auto`` choose the best that fits.
BACKENDS = ("", "auto", "mochi", "opensora", "wan", "wan-1.3b", "ltx")

_SEED = Parameter.integer(
    0, 2**32 - 1, description="The same seed gives the same result. Default: derived from the job."
)
_STEPS = Parameter.integer(10, 50, 25, description="Denoising steps.")
_GUIDANCE = Parameter(kind="number", minimum=0, maximum=30, description="How closely the prompt is followed.")
_NEGATIVE = Parameter(longest=2000, description="What should not appear.")


def _pictures(id: str, source: str, words: str, size: int = 512, **weights: Any) -> Model:  # noqa: A002
    return Model(
        id=id,
        provider="local",
        types=_PICTURES,
        description=words,
        parameters={
            "prompt": Parameter(shortest=1, longest=2000, required=True, description="What is to be seen."),
            "num_inference_steps": _STEPS,
            "width": Parameter.integer(32, 2048, size, "Pixels.", multiple_of=8),
            "height": Parameter.integer(32, 2048, size, "Pixels.", multiple_of=8),
            "seed": _SEED,
            "negative_prompt": _NEGATIVE,
            "guidance_scale": _GUIDANCE,
        },
        weights=Weights(family="pictures", source=source, **weights),
        first_wait_seconds=0,
    )


def _film(id: str, source: str, words: str, types: tuple[str, ...] = (_TEXT, _IMAGE), **weights: Any) -> Model:  # noqa: A002
    return Model(
        id=id,
        provider="local",
        types=types,
        description=words,
        parameters={
            "prompt": Parameter(shortest=3, longest=1000, required=True, description="What is to be seen."),
            "fps": Parameter.integer(1, 60, 24, description="Frames a second."),
            "num_frames": Parameter.integer(8, 240, 64, description="Frames."),
            "width": Parameter.integer(256, 1920, 720, "Pixels.", multiple_of=8),
            "height": Parameter.integer(256, 1080, 720, "Pixels.", multiple_of=8),
            "seed": _SEED,
            "prefer_backend": Parameter(kind="choice", choices=BACKENDS, default="", description="For auto."),
            "low_vram": Parameter(kind="switch", default=False, description="Weights stay in main memory; slower."),
            "lawful_use_consent": Parameter(kind="switch", description="Must be true."),
            "negative_prompt": _NEGATIVE,
            "num_inference_steps": Parameter.integer(2, 100, description="Denoising steps. Default: the model's."),
            "guidance_scale": _GUIDANCE,
        },
        weights=Weights(family="film", source=source, **weights),
        first_wait_seconds=0,
    )


def _captioner(id: str, source: str, words: str, **weights: Any) -> Model:  # noqa: A002
    # Only a ranker can find the words that describe an image worst.
    modes = ("best", "fast", "classic", *(("negative",) if "ranker" in weights else ()))
    return Model(
        id=id,
        provider="local",
        types=("image-to-prompt",),
        description=words,
        parameters={
            "mode": Parameter(kind="choice", choices=modes, default="best", description="How thorough."),
        },
        weights=Weights(family="caption", source=source, takes_image=True, takes_text=False, **weights),
        first_wait_seconds=0,
    )


MODELS: tuple[Model, ...] = (
    _pictures("segmind/tiny-sd", "segmind/tiny-sd", "Small and quick.", need_gb=2.1, low_need_gb=1.0),
    _pictures(
        "stable-diffusion-v1-5",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "Stable Diffusion 1.5.",
        need_gb=3.6,
        low_need_gb=1.2,
        variant="fp16",
        adapter=IPAdapter(source=_ADAPTERS, subfolder="models", weight_name="ip-adapter_sd15.safetensors"),
    ),
    _pictures(
        "stable-diffusion-xl",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "Stable Diffusion XL.",
        1024,
        need_gb=10.0,
        low_need_gb=2.5,
        variant="fp16",
        adapter=IPAdapter(source=_ADAPTERS, subfolder="sdxl_models", weight_name="ip-adapter_sdxl_vit-h.safetensors"),
    ),
    _pictures(
        "demo-shapes",
        str(_DEMONSTRATION / "shapes"),
        "Demonstration: 'a big red circle, at night'. Ships with Telecine; eight colors, four shapes, eight places.",
        native=(64, 64),
        guidance=3.0,
    ),
    _film(
        "wan",
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        "Wan 2.2 TI2V 5B: from text or from a picture.",
        need_gb=14.0,
        low_need_gb=8.0,
        offload=True,
        multiple_of=32,
        frame_step=4,
        takes_image=True,
        image_pipeline="WanImageToVideoPipeline",
        steps=50,
        guidance=5.0,
    ),
    _film(
        "wan-1.3b",
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "Wan 2.1 1.3B: for small cards, from text.",
        (_TEXT,),
        need_gb=12.0,
        low_need_gb=4.0,
        offload=True,
        multiple_of=16,
        frame_step=4,
        steps=50,
        guidance=5.0,
    ),
    _film(
        "mochi",
        "genmo/mochi-1-preview",
        "Mochi 1: from text alone.",
        need_gb=22.0,
        low_need_gb=6.0,
        variant="bf16",
        offload=True,
        multiple_of=16,
        frame_step=6,
        steps=50,
        guidance=4.5,
    ),
    _film(
        "ltx",
        "Lightricks/LTX-Video",
        "LTX-Video: from text or from a picture. Its own licence: read it first.",
        need_gb=14.0,
        low_need_gb=6.0,
        offload=True,
        multiple_of=32,
        frame_step=8,
        takes_image=True,
        image_pipeline="LTXImageToVideoPipeline",
        steps=50,
        guidance=3.0,
    ),
    _film(
        "opensora",
        "hpcai-tech/Open-Sora-v2",
        "Open-Sora: a name of the local video service. No release of diffusers has a pipeline for it; point "
        "weights.source of this entry to an existing pipeline.",
        need_gb=52.5,
        low_need_gb=52.5,
        multiple_of=16,
        frame_step=4,
        takes_image=True,
    ),
    _film(
        "auto",
        "",
        "The best backend that is installed, fits, and can begin with a picture where there is one.",
        takes_image=True,
        steps=50,  # of most backends, for plans
    ),
    _captioner(
        "clip-interrogator/local",
        "Salesforce/blip-image-captioning-base",
        "BLIP describes, CLIP ranks words of style.",
        need_gb=2.5,
        ranker="openai/clip-vit-large-patch14",
    ),
    _captioner(
        "demo-captioner",
        str(_DEMONSTRATION / "captioner"),
        "Demonstration: reads the pictures of demo-shapes. Ships with Telecine.",
    ),
)
