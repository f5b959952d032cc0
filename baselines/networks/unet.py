"""A denoising U-Net for signals of one, two or three dimensions (Ho et al. 2020, appendix B).

Residual blocks of GroupNorm, SiLU and convolution, self-attention at the lowest level. Small maps
add what convolutions lack there: a learned map of positions, and a dense block over the whole of
the lowest map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.layers import TimeSignals, zero
from genbench.errors import UsageError

Convolution: TypeAlias = type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]
CONVOLUTIONS: dict[int, Convolution] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}

SMALL_MAP = 256
"""Positions of a sample (16×16, say) up to which it counts as small."""


class UNet(nn.Module):
    """``network(x, time)``: x ``(B, C, *space)`` and time ``(B,)`` in [0, 1] → ``(B, C, *space)``.

    Level i has ``channels * multipliers[i]`` channels and half the sides of the level above, with
    ``blocks`` residual blocks on the way down and as many on the way up. The output starts at zero.

    The last layer's output is added to x times a factor learned of the time: where x is nearly all
    noise the answer is x itself, whose size the normalisations would forget (a learned c_skip of
    Karras et al. 2022, eq. 7).

    Raises:
        UsageError: Not one to three sides, a side that cannot be halved so often, or channels that
            are not a multiple of 4.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        channels: int,
        multipliers: Sequence[int],
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        in_channels, *space = shape
        depth = len(multipliers) - 1
        _check(space, depth, channels)
        conv = CONVOLUTIONS[len(space)]
        widths = [channels * multiplier for multiplier in multipliers]

        self.blocks = blocks
        self.stem = conv(in_channels, channels, 3, padding=1)
        # Both in the order of the walk: down from the first level, then up from the lowest.
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        into = channels
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.down.append(Block(conv, into, width, dropout, attention=level == depth))
                self.up.insert(0, Block(conv, 2 * width, width, dropout, attention=level == depth))
                into = width
        self.shrink = nn.ModuleList(conv(n, n, 3, stride=2, padding=1) for n in widths[:-1])
        self.grow = nn.ModuleList(conv(low, n, 3, padding=1) for low, n in pairwise(widths[::-1]))

        self.positions: nn.Parameter | None = None
        self.dense: Dense | None = None
        hidden = 16 * channels
        if math.prod(space) <= SMALL_MAP:
            lowest = [side // 2**depth for side in space]
            self.positions = nn.Parameter(torch.zeros(channels, *space))
            self.dense = Dense(widths[-1] * math.prod(lowest), hidden)

        self.out = nn.Sequential(
            norm(channels), nn.SiLU(), zero(conv(channels, in_channels, 3, padding=1))
        )
        # Again in the order of the walk; a block takes a scale and a shift, x a factor at the end.
        down = [2 * width for width in widths for _ in range(blocks)]
        dense = [hidden] if self.dense is not None else []
        self.signals = TimeSignals(4 * channels, [*down, *dense, *reversed(down), 1])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        signals = iter(self.signals(time))
        h: Tensor = self.stem(x)
        if self.positions is not None:
            h = h + self.positions
        skips = []
        for index, block in enumerate(self.down):
            level, place = divmod(index, self.blocks)
            if level > 0 and place == 0:
                h = self.shrink[level - 1](h)
            h = block(h, next(signals))
            skips.append(h)
        if self.dense is not None:
            h = self.dense(h, next(signals))
        for index, block in enumerate(self.up):
            level, place = divmod(index, self.blocks)
            if level > 0 and place == 0:
                h = self.grow[level - 1](F.interpolate(h, scale_factor=2))
            h = block(torch.cat([h, skips.pop()], dim=1), next(signals))
        out: Tensor = self.out(h)
        return out + along(next(signals), x) * x


class Block(nn.Module):
    """Two convolutions on a residual path, then attention.

    Between the convolutions the time scales and shifts each channel after its normalisation, as in
    Dhariwal & Nichol 2021 (section 3.1).
    """

    def __init__(
        self, conv: Convolution, into: int, width: int, dropout: float, *, attention: bool
    ) -> None:
        super().__init__()
        self.before = nn.Sequential(
            norm(into), nn.SiLU(), conv(into, width, 3, padding=1), norm(width)
        )
        self.after = nn.Sequential(
            nn.SiLU(), nn.Dropout(dropout), zero(conv(width, width, 3, padding=1))
        )
        self.skip = conv(into, width, 1) if into != width else nn.Identity()
        self.attention = Attention(width) if attention else nn.Identity()

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        scale, shift = along(signal, x).chunk(2, dim=1)
        h = torch.addcmul(shift, self.before(x), 1 + scale)
        out: Tensor = self.attention(self.skip(x) + self.after(h))
        return out


class Attention(nn.Module):
    """Every position attends to every other, on a residual path (Wang et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = zero(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        positions = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.queries_keys_values(positions).chunk(3, dim=2)
        mixed: Tensor = self.out(F.scaled_dot_product_attention(q, k, v))
        return x + mixed.transpose(1, 2).reshape(x.shape)


class Dense(nn.Module):
    """Two dense layers over a whole map of ``features`` numbers, on a residual path.

    The time shifts what is between them.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, hidden))
        self.after = nn.Sequential(nn.SiLU(), zero(nn.Linear(hidden, features)))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        change: Tensor = self.after(self.before(x.flatten(1)) + shift)
        return x + change.view(x.shape)


def along(signal: Tensor, x: Tensor) -> Tensor:
    """``signal`` ``(B, C)``, ready to scale x ``(B, C, *space)``."""
    return signal.view(*signal.shape, *[1] * (x.ndim - 2))


def norm(channels: int) -> nn.GroupNorm:
    """Groups of at least 4 channels, 32 groups at the most."""
    return nn.GroupNorm(math.gcd(32, channels // 4), channels)


def _check(space: Sequence[int], depth: int, channels: int) -> None:
    if len(space) not in CONVOLUTIONS:
        raise UsageError(f"the U-Net needs samples of 1 to 3 sides, not {len(space)}")
    if any(side % 2**depth for side in space):
        sides = "×".join(map(str, space))
        raise UsageError(
            f"{depth + 1} multipliers halve the sides {depth} times, so each must be divisible by "
            f"{2**depth}; the samples are {sides}"
        )
    if channels % 4:
        raise UsageError(f"channels must be a multiple of 4, got {channels}")
