"""Text-to-image pipelines of random weights, as diffusers saves them, for pictures of 32×32."""

from __future__ import annotations

from pathlib import Path

import diffusers
import torch
import transformers
from tiny_clip import TEXT, write_tokenizer

CHANNELS = (16, 32)
NORM = {"norm_num_groups": 8}


def tokenizer(folder: Path) -> transformers.CLIPTokenizer:
    write_tokenizer(folder)
    return transformers.CLIPTokenizer.from_pretrained(folder)


def vae() -> diffusers.AutoencoderKL:
    """Latents of 16×16 with 4 channels."""
    return diffusers.AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        **NORM,
    )


def stable_diffusion(folder: Path) -> Path:
    """A UNet with attention to a text encoder; its pipeline, in ``folder``."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT["hidden_size"],
        attention_head_dim=8,
        **NORM,
    )
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT)),
        tokenizer=tokenizer(folder.with_name("tokenizer")),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    card = "---\nlanguage: en\nlicense: creativeml-openrail-m\n---\n# A tiny one\n"
    (folder / "README.md").write_text(card)
    return folder


def pixart(folder: Path) -> Path:
    """A transformer with attention to a T5; its pipeline, in ``folder``."""
    torch.manual_seed(0)
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=16,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=32,
        out_channels=8,
        use_additional_conditions=False,
    )
    config = transformers.T5Config(
        vocab_size=600, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    pipeline = diffusers.PixArtAlphaPipeline(
        vae=vae(),
        text_encoder=transformers.T5EncoderModel(config),
        tokenizer=tokenizer(folder.with_name("tokenizer")),
        transformer=transformer,
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
    )
    pipeline.save_pretrained(folder)
    return folder
