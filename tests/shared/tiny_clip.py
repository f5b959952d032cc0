"""A CLIP of random weights with a tokenizer of single letters, as Hugging Face publishes one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]
LETTERS = [chr(byte) for byte in BYTES] + [chr(256 + i) for i in range(256 - len(BYTES))]
VOCABULARY = [
    *LETTERS,
    *(f"{letter}</w>" for letter in LETTERS),
    "<|startoftext|>",
    "<|endoftext|>",
]
"""CLIP's own without its merges: each byte, and each byte at the end of a word."""
TOKENS = 24
"""That it reads of a text."""

HALF: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 16,
    "initializer_range": 0.2,
    "initializer_factor": 5.0,  # so that pictures and texts differ
}
TEXT = {
    **HALF,
    "vocab_size": len(VOCABULARY),
    "max_position_embeddings": TOKENS,
    "bos_token_id": len(VOCABULARY) - 2,
    "eos_token_id": len(VOCABULARY) - 1,
    "pad_token_id": len(VOCABULARY) - 1,
}
VISION = {**HALF, "image_size": 32, "patch_size": 8}


def write_tokenizer(folder: Path) -> None:
    """The files of the tokenizer, into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_clip(folder: Path) -> Any:
    """A whole CLIP, into ``folder``; also its network."""
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16)
    network = transformers.CLIPModel(config).eval()
    network.save_pretrained(folder)
    write_tokenizer(folder)
    return network
