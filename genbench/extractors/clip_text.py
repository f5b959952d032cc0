"""CLIP's embeddings of a picture and of its caption, in one space, through transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from genbench.api import Condition, Features, SampleSpec, Texts
from genbench.api.errors import DataError, UsageError
from genbench.devices.hardware import full_float32
from genbench.extractors.resize import ANTIALIASED
from genbench.extractors.rgb import CHUNK, RgbExtractor, RgbNetwork
from genbench.extractors.transformer import (
    CLIP,
    CLIP_CHANNELS,
    FILES,
    folder_of,
    read_network,
    require_transformers,
)
from genbench.extractors.weights import brief
from genbench.io.files import unchanging

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
"""Of which a folder has the first, or the second and the third."""


class ClipPair(RgbNetwork):
    """Both halves of CLIP (Radford et al. 2021), with its tokenizer."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        super().__init__()
        self.network = network
        self.tokenizer = tokenizer
        self.side = network.config.vision_config.image_size
        self.most_tokens: int = network.config.text_config.max_position_embeddings

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """As the extractor ``clip`` does: ``features``, ``(B, D)``, of length 1."""
        seen = self.network.vision_model(pixel_values=normalize(levels / 255, **CLIP_CHANNELS))
        return {"features": F.normalize(self.network.visual_projection(seen.pooler_output), dim=1)}

    def embed(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """``text_features``: ``(B, D)``, of length 1; ``text_truncated``: ``(B,)``, 1 where a text
        has more tokens than CLIP reads, whose end is left out."""
        whole = self.tokenizer(list(texts), verbose=False)["input_ids"]
        read = self.tokenizer(
            list(texts),
            padding="max_length",  # so that no text depends on the others
            truncation=True,
            max_length=self.most_tokens,
            return_tensors="pt",
        )
        device = next(self.network.parameters()).device
        said = self.network.text_model(
            input_ids=read["input_ids"].to(device), attention_mask=read["attention_mask"].to(device)
        )
        truncated = [float(len(tokens) > self.most_tokens) for tokens in whole]
        return {
            "text_features": F.normalize(self.network.text_projection(said.pooler_output), dim=1),
            "text_truncated": torch.tensor(truncated, device=device),
        }


class ClipText:
    """Pictures and their captions, embedded by one CLIP."""

    resize = ANTIALIASED.name

    def __init__(self, pictures: RgbExtractor, condition: str) -> None:
        """``pictures``: over a ``ClipPair``. ``condition``: the name of the captions."""
        self._pictures = pictures
        self._condition = condition

    @property
    def id(self) -> str:
        return self._pictures.id

    @property
    def conditions(self) -> Set[str]:
        return frozenset({self._condition})

    def supports(self, spec: SampleSpec) -> str | None:
        return self._pictures.supports(spec)

    def to(self, device: torch.device | str) -> ClipText:
        self._pictures.to(device)
        return self

    @torch.no_grad()
    def __call__(
        self, stored: Tensor, spec: SampleSpec, condition: Condition, texts: Texts
    ) -> Features:
        """``features``, of uint8 pictures ``(B, 3, H, W)`` as the extractor ``clip`` gives them,
        and of their captions ``text_features`` ``(B, D)``, both float32 of length 1, and
        ``text_truncated`` ``(B,)``: 1 for a caption of more tokens than CLIP reads (77), else 0.

        Raises ``UsageError`` for captions whose words are not known.
        """
        if self._condition not in texts:
            raise UsageError(
                f"clip-text needs the words of {self._condition!r}; these samples have tokens alone"
            )
        network: Any = self._pictures.network
        words = texts[self._condition]
        with full_float32():
            parts = [network.embed(words[i : i + CHUNK]) for i in range(0, len(words), CHUNK)]
        said = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {**self._pictures(stored, spec), **said}


def clip_text(*, weights: str | None = None, condition: str = "caption") -> ClipText:
    """CLIP, ViT-L/14 (768-d), for RGB images and their captions.

    ``weights``: a folder with the ``config.json``, ``model.safetensors`` and tokenizer of a whole
    CLIP at any size, as Hugging Face publishes it; by default ``openai/clip-vit-large-patch14``,
    downloaded once to the cache of Hugging Face. ``condition``: the name of the condition that
    holds the captions. Raises ``UsageError`` without the package transformers, and, when it is
    first used, ``DataError`` if files are missing, or are not those of a CLIP.
    """
    require_transformers()
    return ClipText(
        RgbExtractor("clip-text", ANTIALIASED, partial(_load, weights, condition)), condition
    )


def _load(given: str | None, condition: str) -> tuple[ClipPair, str]:
    """The network, and a hash of its files and of the condition, which both change features."""
    folder = folder_of(CLIP, given, (*FILES, *TOKENIZER_FILES))
    network, digest = read_network("CLIPModel", ("clip",), CLIP, folder)
    files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    names = {file.name for file in files}
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= names:
        raise DataError(f"{folder} has no tokenizer: it needs tokenizer.json")
    build = require_transformers().AutoTokenizer.from_pretrained
    try:
        with unchanging(folder / "config.json", *files):
            contents = [file.read_bytes() for file in (folder / "config.json", *files)]
            tokenizer = build(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the files may hold anything
        raise DataError(f"{folder}: not the tokenizer of a CLIP ({brief(error)})") from error
    parts = [digest.encode(), condition.encode(), *contents]
    hashes = b"".join(hashlib.sha256(part).digest() for part in parts)
    return ClipPair(network, tokenizer), hashlib.sha256(hashes).hexdigest()
