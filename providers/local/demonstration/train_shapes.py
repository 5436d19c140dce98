"""Train ``demo-shapes``: ``python -m providers.local.demonstration.train_shapes FOLDER [SECONDS]``.

The autoencoder is trained first, then UNet and text encoder together, on drawings made in advance. If the folder
contains an autoencoder, it is kept, and the UNet gets all the time. The pipeline is saved every five minutes.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from providers.local.demonstration.drawings import SIDE, drawing
from providers.local.demonstration.optimizer import MovingAverage, MuonAdamW
from providers.local.demonstration.shapes_tokenizer import tokenizer_for

DRAWINGS = 12_000
#: Fraction of the time for the autoencoder.
_CODING = 0.36
_TOKENS = 32
_CHANNELS = 6
_RATE = 2e-3
_SAVED_EVERY = 300.0
_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def main(folder: Path, seconds: float) -> None:
    """Train for ``seconds`` and save the pipeline."""
    import diffusers
    import torch
    import transformers

    parts: Any = diffusers
    chance = random.Random(1)  # noqa: S311 - drawings, not secrets
    drawn = [drawing(chance) for _ in range(DRAWINGS)]
    captions = [caption for _, caption in drawn]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image, _ in drawn])).permute(0, 3, 1, 2).contiguous()
    torch.manual_seed(0)
    if (folder / "vae").exists():
        vae = parts.AutoencoderKL.from_pretrained(folder / "vae").eval()
    else:
        vae = autoencoder()
        train_autoencoder(vae, pixels, seconds * _CODING)
        vae.save_pretrained(folder / "vae")
        seconds *= 1 - _CODING
    tokenizer = tokenizer_for(captions, _TOKENS)
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            projection_dim=64,
        )
    )
    unet = parts.UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=_CHANNELS,
        out_channels=_CHANNELS,
        block_out_channels=(64, 96),
        layers_per_block=1,
        norm_num_groups=16,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=64,
        attention_head_dim=4,
    )
    scheduler = parts.DPMSolverMultistepScheduler(**_NOISE, prediction_type="v_prediction", steps_offset=1)
    pipe = parts.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    train_denoiser(pipe, pixels, captions, seconds, lambda: pipe.save_pretrained(folder))
    pipe.to(torch.float16).save_pretrained(folder)


def autoencoder() -> Any:
    """Return an autoencoder from 64 × 64 pixels to 8 × 8 latents."""
    import diffusers

    parts: Any = diffusers
    return parts.AutoencoderKL(
        block_out_channels=(16, 32, 48, 64),
        latent_channels=_CHANNELS,
        norm_num_groups=8,
        layers_per_block=1,
        sample_size=SIDE,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        mid_block_add_attention=False,
    )


def train_autoencoder(vae: Any, pixels: Any, seconds: float) -> None:
    """Train with extra weight on edges, then store the scale of the latents in the configuration."""
    import torch
    from torch.nn import functional

    optimizer = MuonAdamW(list(vae.parameters()), 0.0)
    step, started = 0, time.monotonic()
    while (part := (time.monotonic() - started) / seconds) < 1:
        batch = _numbers(pixels[torch.randint(0, len(pixels), (16,))])
        found = vae.encode(batch).latent_dist
        made = vae.decode(found.sample()).sample
        across, down = (functional.l1_loss(made.diff(dim=axis), batch.diff(dim=axis)) for axis in (3, 2))
        loss = functional.l1_loss(made, batch) + functional.mse_loss(made, batch) + 0.5 * (across + down)
        optimizer.step(loss + 2e-6 * found.kl().mean(), _RATE * min(1.0, (step + 1) / 50) * max(0.02, 1 - part))
        step += 1
    vae.eval()
    with torch.no_grad():
        sample = vae.encode(_numbers(pixels[:1000])).latent_dist.mean
    vae.register_to_config(scaling_factor=float(1 / sample.std()))


def train_denoiser(pipe: Any, pixels: Any, captions: list[str], seconds: float, save: Callable[[], object]) -> None:
    """Train UNet and text encoder to predict the noise velocity from the caption.

    One caption in ten is empty, for guidance. The final weights are the averaged ones.
    """
    import diffusers
    import torch
    from torch.nn import functional

    parts: Any = diffusers
    unet, text, vae = pipe.unet.train(), pipe.text_encoder.train(), pipe.vae
    with torch.no_grad():
        latents = torch.cat([vae.encode(_numbers(piece)).latent_dist.mean for piece in pixels.split(100)])
    latents = latents * vae.config.scaling_factor
    options = {"padding": "max_length", "max_length": _TOKENS, "truncation": True, "return_tensors": "pt"}
    token_ids, empty = (pipe.tokenizer(words, **options).input_ids for words in (captions, [""]))
    noise = parts.DDPMScheduler(**_NOISE, prediction_type="v_prediction")
    weights = [*unet.parameters(), *text.parameters()]
    optimizer, average = MuonAdamW(weights, 0.01), MovingAverage(weights)
    step, saved, started = 0, 0.0, time.monotonic()
    while (past := time.monotonic() - started) < seconds:
        chosen = torch.randint(0, len(latents), (48,))
        clean, words = latents[chosen], token_ids[chosen].clone()
        words[torch.rand(48) < 0.1] = empty
        grain, times = torch.randn_like(clean), torch.randint(0, 1000, (48,))
        guess = unet(noise.add_noise(clean, grain, times), times, encoder_hidden_states=text(words)[0]).sample
        loss = functional.mse_loss(guess, noise.get_velocity(clean, grain, times))
        optimizer.step(loss, _RATE * min(1.0, (step + 1) / 100) * max(0.02, 1 - past / seconds))
        average.update(step)
        step += 1
        if past - saved > _SAVED_EVERY:
            saved = past
            average.swap()
            save()
            average.swap()
    average.swap()
    unet.eval()
    text.eval()


def _numbers(pixels: Any) -> Any:
    return pixels.float() / 127.5 - 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 3000.0)
