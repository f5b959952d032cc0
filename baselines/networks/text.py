"""Texts as inputs of a network: an encoder of their tokens, and one of the vectors that a frozen
encoder has given them."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from baselines.networks.attention import Context, CrossAttention
from baselines.sentences import CHANNELS, Sentences
from genbench.api import Text
from genbench.api.errors import UsageError

TEXT_LAYERS = 2
"""Of a learned encoder, by default."""


class TextEncoder(nn.Module):
    """Tokens ``(B, T)`` int64, 0 where there is none → a context of T + 1 vectors, and a vector
    ``(B, width)`` for the whole text.

    Embeddings learned for each token and each place, then the layers of a transformer with the
    normalisation first (Xiong et al. 2020). Before the first token stands one that is always
    there, so that an empty text is a text too. For the whole text stands the sum over those that
    are there, over the root of their number: a mean would be smaller, the longer the text, and
    would be followed later.

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
        whole = (h * there[:, :, None]).sum(dim=1) / there.sum(dim=1, keepdim=True).sqrt()
        return (h, there), whole


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


class SentenceEncoder(nn.Module):
    """Vectors ``(B, S, 384)`` of word pieces from ``Sentences``, all zero where there is none → a
    context of S + 1 vectors, and a vector ``(B, width)`` for the whole text.

    Of the whole text the sentence vector is taken, the mean of its pieces' vectors at length 1
    (Reimers & Gurevych 2019, section 3). It stands before the first piece, and is always there:
    where there is no text it is zero. A learned layer for it and one for the pieces lead to
    ``width``, so that what follows is as large as with a ``TextEncoder``.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.sentence = nn.Linear(CHANNELS, width)
        self.pieces = nn.Linear(CHANNELS, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, vectors: Tensor) -> tuple[Context, Tensor]:
        there = (vectors != 0).any(dim=2)
        there = torch.cat([torch.ones_like(there[:, :1]), there], dim=1)
        # Of unit variance, as the embeddings of tokens.
        sentence = math.sqrt(CHANNELS) * sentence_vectors(vectors)
        h = torch.cat([self.sentence(sentence)[:, None], self.pieces(vectors)], dim=1)
        h = self.norm(h)
        return (h, there), h[:, 0]


def sentence_vectors(vectors: Tensor) -> Tensor:
    """The mean of the vectors ``(B, S, 384)`` that are not all zero, at length 1: ``(B, 384)``;
    zeros where there is none. The sum has the direction of the mean."""
    return normalize(vectors.sum(dim=1), dim=1)


Encoder: TypeAlias = TextEncoder | SentenceEncoder


def encoder_of(text: Text | Sentences, *, width: int, layers: int) -> Encoder:
    """An encoder of such texts, with ``layers`` if it is learned.

    Raises:
        UsageError: As ``TextEncoder``; ``layers`` of a frozen encoder.
    """
    if isinstance(text, Text):
        return TextEncoder(text, width=width, layers=layers)
    if layers != TEXT_LAYERS:
        raise UsageError("text_layers is an option of text_encoder 'learned'")
    return SentenceEncoder(width=width)
