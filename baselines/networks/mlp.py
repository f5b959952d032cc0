"""A denoising MLP for points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.networks.layers import Sinusoids, TimeSignals, zero

OCTAVES = 6
"""Frequencies at which an MLP sees the coordinates."""


class MLP(nn.Module):
    """``network(x, time, labels=None)``: x ``(B, D)``, time ``(B,)`` → ``(B, outputs * D)``.

    ``blocks`` residual blocks of ``width``, each shifted by the time, of the coordinates and, as
    far as the time says, their ``CoordinateWaves``: where x is nearly all noise, waves say nothing.
    The output starts at zero. No normalisation before it: where x is nearly all noise the answer is
    x, whatever its size.

    Of the time, any float, sines and cosines of ``time_scale`` times it are taken. With ``classes``
    = K, labels ``(B,)`` int64 in 0…K, K for none.
    """

    def __init__(
        self,
        features: int,
        *,
        width: int,
        blocks: int,
        dropout: float,
        classes: int = 0,
        outputs: int = 1,
        time_scale: float = 1000.0,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(features, width)
        self.waves = nn.Sequential(CoordinateWaves(), nn.Linear(2 * OCTAVES * features, width))
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.out = zero(nn.Linear(width, outputs * features))
        times = Sinusoids(width, scale=time_scale)
        self.signals = TimeSignals(times, width, [width] * (1 + blocks), classes=classes)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        gate, *shifts = self.signals(time, labels)
        h: Tensor = self.stem(x) + gate * self.waves(x)
        for block, shift in zip(self.blocks, shifts, strict=True):
            h = block(h, shift)
        out: Tensor = self.out(h)
        return out


class CoordinateWaves(nn.Module):
    """Points ``(B, D)`` → ``(B, 12 D)``: sines, then cosines, of 1, 2, 4, … 32 times each
    coordinate (Tancik et al. 2020, section 6.1: positional encoding).

    An MLP of the coordinates alone is slow to learn what changes over a small part of their range
    (Rahaman et al. 2019), and blurs narrow modes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", 2.0 ** torch.arange(OCTAVES), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        angles = (x[:, :, None] * self.frequencies).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    """Two dense layers on a residual path; the time shifts the features between them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.after = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        change: Tensor = self.after(self.before(x) + shift)
        return x + change
