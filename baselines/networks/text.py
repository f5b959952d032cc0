"""Texts as inputs of a network: an encoder of their tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.networks.attention import Context, CrossAttention
from genbench.api import Text
from genbench.api.errors import UsageError


class TextEncoder(nn.Module):
    """Tokens ``(B, T)`` int64, 0 where there is none → a context of T + 1 vectors, and a vector
    ``(B, width)`` for the whole text.

    Embeddings learned for each token and each place, then the layers of a transformer with the
    normalisation first (Xiong et al. 2020). Before the first token stands one that is always
    there, so that an empty text is a text too. The mean over those that are there stands for the
    whole text.

    Raises:
        UsageError: A width that is not a multiple of 4.
    """

    def __init__(self, text: Text, *, width: int, layers: int) -> None:
        super().__init__()
        if width % 4:
            raise UsageError(f"text_width must be a multiple of 4, got {width}")
        self.width = width
        # Of unit variance, as a label's: with less, a text is not followed for hundreds of steps.
        self.tokens = nn.Embedding(text.vocabulary, width)
        self.places = nn.Parameter(0.1 * torch.randn(text.max_tokens + 1, width))
        self.layers = nn.ModuleList(EncoderLayer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> tuple[Context, Tensor]:
        start = torch.zeros_like(tokens[:, :1])
        there = torch.cat([start == 0, tokens != 0], dim=1)
        h = self.tokens(torch.cat([start, tokens], dim=1)) + self.places
        for layer in self.layers:
            h = layer(h, there)
        h = self.norm(h)
        shares = there / there.sum(dim=1, keepdim=True)
        return (h, there), (h * shares[:, :, None]).sum(dim=1)


class EncoderLayer(nn.Module):
    """Attention among the tokens that are there, then two dense layers, each on a residual path."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = CrossAttention(width, width)
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor, there: Tensor) -> Tensor:
        h = self.attention(h, (h, there))
        out: Tensor = h + self.dense(self.norm(h))
        return out
