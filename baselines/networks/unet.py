"""A denoising U-Net for signals of one, two or three dimensions (Ho et al. 2020, appendix B).

Residual blocks of GroupNorm, SiLU and convolution, self-attention at the lowest level. Small maps
add what convolutions lack there: a learned map of positions, and a dense block over the whole of
the lowest map. Or, as ``published``, the network of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.layers import TimeSignals, zero
from baselines.networks.norm import Norm, along
from genbench.errors import UsageError

Convolution: TypeAlias = type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]
CONVOLUTIONS: dict[int, Convolution] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}

SMALL_MAP = 256
"""Positions of a sample (16×16, say) up to which it counts as small."""

WHOLE_PRODUCTS = 1024
"""Positions up to which attention by whole matrix products is faster on a CPU."""


class UNet(nn.Module):
    """``network(x, time)``: x ``(B, C, *space)`` and time ``(B,)`` in [0, 1] → ``(B, C, *space)``.

    Level i has ``channels * multipliers[i]`` channels and half the sides of the level above, with
    ``blocks`` residual blocks on the way down and as many on the way up. The blocks of the levels
    in ``attention`` (the lowest alone by default) end in self-attention. The output starts at zero.

    The last layer's output is added to x times a factor learned of the time: where x is nearly all
    noise the answer is x itself, whose size the normalisations would forget (a learned c_skip of
    Karras et al. 2022, eq. 7).

    With ``published`` the network is wired as in the released code of Ho et al. 2020: every map on
    the way down is handed across, so that each level has one block more on the way up; two blocks
    with attention between them lie at the bottom; the time is added before a normalisation, where
    otherwise it scales and shifts after it; and small maps get nothing of their own.

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
        attention: Collection[int] | None = None,
        published: bool = False,
    ) -> None:
        super().__init__()
        in_channels, *space = shape
        depth = len(multipliers) - 1
        _check(space, depth, channels)
        conv = CONVOLUTIONS[len(space)]
        widths = [channels * multiplier for multiplier in multipliers]
        attention = {depth} if attention is None else attention

        def block(into: int, width: int, *, attends: bool) -> Block:
            return Block(conv, into, width, dropout, attention=attends, scaled=not published)

        self.blocks = blocks
        self.published = published
        self.stem = conv(in_channels, channels, 3, padding=1)
        # Both in the order of the walk: down from the first level, then up from the lowest.
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        into = channels
        for level, width in enumerate(widths):
            attends = level in attention
            across = into if published else width  # the map before the level's own
            for _ in range(blocks):
                self.down.append(block(into, width, attends=attends))
                self.up.insert(0, block(width + across, width, attends=attends))
                into = across = width
            if published:
                below = widths[min(level + 1, depth)]
                self.up.insert(0, block(below + width, width, attends=attends))
        self.shrink = nn.ModuleList(conv(n, n, 3, stride=2, padding=1) for n in widths[:-1])
        self.grow = nn.ModuleList(
            Doubled(conv, low, low if published else n) for low, n in pairwise(widths[::-1])
        )
        self.middle = nn.ModuleList()
        if published:
            self.middle.extend(block(into, into, attends=first) for first in (True, False))

        self.positions: nn.Parameter | None = None
        self.dense: Dense | None = None
        hidden = 16 * channels
        if math.prod(space) <= SMALL_MAP and not published:
            lowest = [side // 2**depth for side in space]
            self.positions = nn.Parameter(torch.zeros(channels, *space))
            self.dense = Dense(widths[-1] * math.prod(lowest), hidden)

        self.out = nn.Sequential(Norm(channels), zero(conv(channels, in_channels, 3, padding=1)))
        # Again in the order of the walk; x takes a factor at the end.
        bottom = [hidden] if self.dense is not None else []
        walk = [
            *(module.signal for module in [*self.down, *self.middle]),
            *bottom,
            *(module.signal for module in self.up),
        ]
        self.signals = TimeSignals(4 * channels, [*walk, 1])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        signals = iter(self.signals(time))
        h: Tensor = self.stem(_channels_last(x))
        if self.positions is not None:
            h = h + self.positions
        across = [h] if self.published else []
        for index, block in enumerate(self.down):
            level, place = divmod(index, self.blocks)
            if level > 0 and place == 0:
                h = self.shrink[level - 1](h)
                if self.published:
                    across.append(h)
            h = block(h, next(signals))
            across.append(h)
        for block in self.middle:
            h = block(h, next(signals))
        if self.dense is not None:
            h = self.dense(h, next(signals))
        for index, block in enumerate(self.up):
            level, place = divmod(index, self.blocks + self.published)
            if level > 0 and place == 0:
                h = self.grow[level - 1](h)
            h = block(torch.cat([h, across.pop()], dim=1), next(signals))
        out: Tensor = self.out(h).contiguous()
        return out + along(next(signals), x) * x


class Block(nn.Module):
    """Two convolutions on a residual path, then attention.

    Between the convolutions the time scales and shifts each channel after its normalisation, as in
    Dhariwal & Nichol 2021 (section 3.1), where ``scaled``; else it is added before. It comes as
    ``signal`` numbers a sample.
    """

    def __init__(
        self,
        conv: Convolution,
        into: int,
        width: int,
        dropout: float,
        *,
        attention: bool,
        scaled: bool,
    ) -> None:
        super().__init__()
        self.scaled = scaled
        self.signal = 2 * width if scaled else width
        self.before = nn.Sequential(Norm(into), conv(into, width, 3, padding=1))
        self.norm = Norm(width)
        self.after = nn.Sequential(nn.Dropout(dropout), zero(conv(width, width, 3, padding=1)))
        self.skip = conv(into, width, 1) if into != width else nn.Identity()
        self.attention = Attention(conv, width) if attention else nn.Identity()

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        h = self.before(x)
        h = self.norm(h, signal) if self.scaled else self.norm(h.add_(along(signal, h)))
        out: Tensor = self.attention(self.after(h).add_(self.skip(x)))
        return out


class Attention(nn.Module):
    """Every position attends to every other, on a residual path (Wang et al. 2018)."""

    def __init__(self, conv: Convolution, width: int) -> None:
        super().__init__()
        self.norm = Norm(width, silu=False)
        # As convolutions: where channels lie last nothing is moved, and on AMD they are twice as
        # fast as MKL's matrix product.
        self.queries_keys_values = conv(width, 3 * width, 1)
        self.out = zero(conv(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.queries_keys_values(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        mixed = attend(q, k, v).transpose(1, 2).reshape(x.shape)
        out: Tensor = self.out(mixed).add_(x)
        return out


class Doubled(nn.Module):
    """A convolution over x with every position doubled along each side.

    Of three neighbours among doubled positions two are equal, so that their weights can be added
    before they are multiplied: a transposed convolution, 4 wide with stride 2, does the same with
    4/9 of the multiplications in two dimensions.
    """

    def __init__(self, conv: Convolution, into: int, width: int) -> None:
        super().__init__()
        self.conv = conv(into, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = self.conv.weight
        for side in range(2, weight.ndim):
            first, second, third = weight.unbind(side)
            weight = torch.stack([third, second + third, first + second, first], dim=side)
        transposed = TRANSPOSED[x.ndim - 2]
        out: Tensor = transposed(x, weight.transpose(0, 1), self.conv.bias, stride=2, padding=1)
        return out


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


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √C) v of ``(B, P, C)`` each (Vaswani et al. 2017, eq. 1)."""
    if q.device.type != "cpu" or q.shape[1] > WHOLE_PRODUCTS:
        return F.scaled_dot_product_attention(q, k, v)
    # As fast as the line above in float32, and three times as fast in bfloat16.
    scores = torch.bmm(q * q.shape[2] ** -0.5, k.transpose(1, 2))
    return torch.bmm(scores.softmax(dim=2), v)


def _channels_last(x: Tensor) -> Tensor:
    """x with channels last in memory where convolutions are faster so; what follows keeps it."""
    if x.device.type == "cpu" and x.ndim - 2 in CHANNELS_LAST:
        return x.contiguous(memory_format=CHANNELS_LAST[x.ndim - 2])
    return x


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
