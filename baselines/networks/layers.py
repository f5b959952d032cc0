"""Layers of the denoising networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TimeSignals(nn.Module):
    """Time ``(B,)`` in [0, 1] → one signal ``(B, width)`` for each of ``widths``.

    Sines and cosines of 1,000 t at frequencies from 1 down to 1e-4 (Vaswani et al. 2017, section
    3.5; Ho et al. 2020, appendix B), two layers, and one projection for all blocks of a network,
    which starts at zero.
    """

    def __init__(self, features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.frequencies: Tensor
        frequencies = 1000 * torch.logspace(0, -4, features // 2)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(features, features),
            nn.SiLU(),
            nn.Linear(features, features),
            nn.SiLU(),
            zero(nn.Linear(features, sum(widths))),
        )

    def forward(self, time: Tensor) -> tuple[Tensor, ...]:
        angles = time[:, None] * self.frequencies
        signals: Tensor = self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))
        return torch.split(signals, self.widths, dim=1)


def zero(layer: nn.Module) -> nn.Module:
    """``layer`` with all its parameters 0, so that a residual path starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
