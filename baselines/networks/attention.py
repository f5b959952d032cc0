"""Attention: within a map, and from its positions to a context."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

Context: TypeAlias = tuple[Tensor, Tensor]
"""What there is to attend to: vectors ``(B, S, width)``, and which of them are there ``(B, S)``,
bool."""

WHOLE_PRODUCTS = 1024
"""Positions up to which attention by whole matrix products is faster on a CPU."""

HEAD = 32
"""Channels of a head of ``CrossAttention``, or as many as it has in common with the width."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, heads: int = 1, there: Tensor | None = None
) -> Tensor:
    """softmax(q kᵀ / √C) v of q ``(B, P, C)``, k and v ``(B, S, C)`` (Vaswani et al. 2017, eq. 1).

    Of ``heads``, each has its own share of the channels, and C is its width. ``there`` ``(B, S)``,
    bool: which of the S are attended to, at least one for each sample; by default all.
    """
    mask = None if there is None else there.view(len(there), *[1] * (1 + (heads > 1)), -1)
    if heads > 1:
        q, k, v = (part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in (q, k, v))
    if q.device.type != "cpu" or q.shape[-2] > WHOLE_PRODUCTS:
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    else:
        # As fast as the line above in float32, and three times as fast in bfloat16.
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-2, -1))
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        mixed = torch.matmul(scores.softmax(dim=-1), v)
    return mixed.transpose(1, 2).flatten(2) if heads > 1 else mixed


class CrossAttention(nn.Module):
    """Every position ``(B, P, width)`` attends to a context, on a residual path (Vaswani et al.
    2017, section 3.2.3). Both are normalised first."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.heads = width // math.gcd(width, HEAD)
        self.norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(context)
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(context, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        vectors, there = context
        k, v = self.keys_values(self.context_norm(vectors)).chunk(2, dim=2)
        q = self.queries(self.norm(x))
        out: Tensor = x + self.out(attend(q, k, v, heads=self.heads, there=there))
        return out
