"""Real diffusers and transformers pipelines with random weights: a few hundred kilobytes, no download."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import save_file

D: Any = diffusers
T: Any = transformers


def save_all(folder: Path) -> None:
    """Save each tiny model in a folder of its own."""
    stable_diffusion().save_pretrained(folder / "pictures")
    mochi().save_pretrained(folder / "mochi")
    wan().save_pretrained(folder / "wan")
    wan(from_picture=True).save_pretrained(folder / "wan-i2v")
    save_blip(folder / "blip")
    save_clip(folder / "clip")
    save_adapter(folder / "adapter", stable_diffusion().unet)
    large = stable_diffusion_xl()
    large.save_pretrained(folder / "pictures-xl")
    save_adapter(folder / "adapter-xl", large.unet)


def byte_alphabet() -> list[str]:
    """Return the byte alphabet of GPT-2 and CLIP."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [number for number in range(256) if number not in shown]
    return [chr(number) for number in shown] + [chr(256 + place) for place in range(len(hidden))]


def clip_tokenizer() -> Any:
    """Return a tokenizer that reads any text byte by byte."""
    alphabet = byte_alphabet()
    tokens = [*alphabet, *(character + "</w>" for character in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return T.CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=77)


def clip_text(tokenizer: Any) -> dict[str, Any]:
    """Return the configuration of a text encoder for the tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": 32,
    }


def stable_diffusion() -> Any:
    """Return a Stable Diffusion pipeline: a text encoder, a UNet and an autoencoder."""
    tokenizer = clip_tokenizer()
    torch.manual_seed(0)
    text = T.CLIPTextModel(T.CLIPTextConfig(**clip_text(tokenizer))).eval()
    unet = D.UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
    )
    vae = D.AutoencoderKL(
        block_out_channels=(4, 8, 8, 8),
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        norm_num_groups=2,
        layers_per_block=1,
        sample_size=128,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    scheduler = D.DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    return D.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_with_checker() -> Any:
    """Return the same pipeline with a safety checker that rejects everything."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    checker: Any = StableDiffusionSafetyChecker
    size = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    seen = {**size, "image_size": 64, "patch_size": 16}
    parts = {name: part for name, part in stable_diffusion().components.items() if part is not None}
    checks = checker(T.CLIPConfig(text_config={}, vision_config=seen, projection_dim=32))
    checks.concept_embeds_weights.data.fill_(-9.0)
    images = T.CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    return D.StableDiffusionPipeline(**parts, safety_checker=checks, feature_extractor=images, image_encoder=None)


def t5() -> tuple[Any, Any]:
    """Return a T5 tokenizer by byte_alphabet and its encoder."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(character, -3.0) for character in string.ascii_letters + string.digits + string.punctuation]
    tokenizer = T.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=256)
    torch.manual_seed(0)
    encoder = T.T5EncoderModel(
        T.T5Config(
            vocab_size=len(tokenizer),
            d_model=32,
            d_kv=8,
            d_ff=37,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=8,
            dropout_rate=0.0,
        )
    ).eval()
    return tokenizer, encoder


def mochi() -> Any:
    """Return a Mochi pipeline: text to video."""
    tokenizer, encoder = t5()
    torch.manual_seed(0)
    transformer = D.MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        out_channels=None,
        qk_norm="rms_norm",
        text_embed_dim=32,
        time_embed_dim=4,
        activation_fn="swiglu",
        max_sequence_length=256,
    )
    vae = D.AutoencoderKLMochi(
        latent_channels=12,
        out_channels=3,
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5,
    )
    scheduler = D.FlowMatchEulerDiscreteScheduler()
    return D.MochiPipeline(
        transformer=transformer, vae=vae, scheduler=scheduler, text_encoder=encoder, tokenizer=tokenizer
    )


def wan(*, from_picture: bool = False) -> Any:
    """Return a Wan pipeline: text to video, or image and text to video."""
    tokenizer, encoder = t5()
    torch.manual_seed(0)
    vae = D.AutoencoderKLWan(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = D.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=36 if from_picture else 16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": encoder,
        "vae": vae,
        "transformer": transformer,
        "scheduler": D.FlowMatchEulerDiscreteScheduler(shift=5.0),
    }
    if from_picture:
        return D.WanImageToVideoPipeline(**parts, image_encoder=None, image_processor=None)
    return D.WanPipeline(**parts)


def save_blip(folder: Path) -> None:
    """Save a captioner. Its captions are meaningless but deterministic."""
    words = ["a", "the", "photo", "of", "on", "red", "green", "blue", "fox", "hill", "sea", "sun", "house", "night"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *string.ascii_lowercase]
    tokenizer = T.BertTokenizer(vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))})
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    torch.manual_seed(0)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "encoder_hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "projection_dim": 32,
    }
    seen = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 16,
        "projection_dim": 32,
    }
    model = T.BlipForConditionalGeneration(T.BlipConfig(text_config=text, vision_config=seen, projection_dim=32))
    model.save_pretrained(folder)
    T.BlipProcessor(T.BlipImageProcessorPil(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)


def save_clip(folder: Path) -> None:
    """Save a ranker."""
    tokenizer = clip_tokenizer()
    torch.manual_seed(0)
    seen = {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 16,
        "projection_dim": 32,
    }
    model = T.CLIPModel(T.CLIPConfig(text_config=clip_text(tokenizer), vision_config=seen, projection_dim=32))
    model.save_pretrained(folder)
    images = T.CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    T.CLIPProcessor(images, tokenizer).save_pretrained(folder)


def stable_diffusion_xl() -> Any:
    """Return a Stable Diffusion XL pipeline: two text encoders, and the image size as an input."""
    tokenizer = clip_tokenizer()
    torch.manual_seed(0)
    text = T.CLIPTextModel(T.CLIPTextConfig(**clip_text(tokenizer))).eval()
    second = T.CLIPTextModelWithProjection(T.CLIPTextConfig(**clip_text(tokenizer))).eval()
    unet = D.UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
    )
    small = stable_diffusion()
    return D.StableDiffusionXLPipeline(
        vae=small.vae,
        text_encoder=text,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=unet,
        scheduler=small.scheduler,
        add_watermarker=False,
    )


def save_adapter(folder: Path, unet: Any) -> None:
    """Save an IP-Adapter for the UNet and its image encoder, in the layout of published adapters."""
    width, tokens = unet.config.cross_attention_dim, 4
    torch.manual_seed(0)
    tensors = {
        "image_proj.proj.weight": torch.randn(tokens * width, 32),
        "image_proj.proj.bias": torch.zeros(tokens * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            hidden = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            for part in ("to_k_ip", "to_v_ip"):
                tensors[f"ip_adapter.{number}.{part}.weight"] = torch.randn(hidden, width)
    (folder / "models").mkdir(parents=True)
    save_file(tensors, folder / "models" / "ip-adapter.safetensors")
    image_encoder().save_pretrained(folder / "models" / "image_encoder")


def image_encoder(projection_dim: int = 32) -> Any:
    """Return the image encoder of an adapter."""
    torch.manual_seed(0)
    return T.CLIPVisionModelWithProjection(
        T.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=64,
            patch_size=16,
            projection_dim=projection_dim,
        )
    )
