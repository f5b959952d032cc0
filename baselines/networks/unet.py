"""A denoising U-Net for signals of one, two or three dimensions (after Ho et al. 2020, appendix B).

Residual blocks of GroupNorm, SiLU and convolution, self-attention at the lowest level. Small maps
add what convolutions lack there: a learned map of positions, and a dense block over the whole of
the lowest map. The U-Nets of the papers are in ``published``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.networks.blocks import (
    CONVOLUTIONS,
    Block,
    Doubled,
    Style,
    channels_last,
    check_channels,
    check_sides,
    signal_widths,
)
from baselines.networks.layers import Sinusoids, TimeSignals, zero
from baselines.networks.norm import Norm, along
from baselines.networks.text import Encoder

SMALL_MAP = 256
"""Positions of a sample (16×16, say) up to which it counts as small."""


class UNet(nn.Module):
    """``network(x, time, labels=None)``: x ``(B, C, *space)``, time ``(B,)`` → ``(B, outputs * C,
    *space)``.

    Level i has ``channels * multipliers[i]`` channels and half the sides of the level above, with
    ``blocks`` residual blocks on the way down and as many on the way up. The blocks of the levels
    in ``attention`` (the lowest alone by default) end in self-attention. The output starts at zero.

    The last layer's output is added to x times a factor learned of the time: where x is nearly all
    noise the answer is x itself, whose size the normalisations would forget (a learned c_skip of
    Karras et al. 2022, eq. 7). Of several ``outputs`` the first is the one.

    Of the time, any float, sines and cosines of ``time_scale`` times it are taken. With ``classes``
    = K, labels ``(B,)`` int64 in 0…K, K for none. With ``text``, labels are what it reads, as
    tokens ``(B, T)``: where positions attend to each other they then attend to the text (Rombach et
    al. 2022, section 3.3), and a vector of the whole text joins the time.

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
        classes: int = 0,
        text: Encoder | None = None,
        outputs: int = 1,
        time_scale: float = 1000.0,
    ) -> None:
        super().__init__()
        in_channels, *space = shape
        depth = len(multipliers) - 1
        check_sides(space, depth)
        check_channels(channels)
        conv = CONVOLUTIONS[len(space)]
        widths = [channels * multiplier for multiplier in multipliers]
        attention = {depth} if attention is None else attention
        style = Style()
        context = 0 if text is None else text.width

        self.blocks = blocks
        self.stem = conv(in_channels, channels, 3, padding=1)
        # Both in the order of the walk: down from the first level, then up from the lowest.
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        into = channels
        for level, width in enumerate(widths):
            attends = level in attention
            for _ in range(blocks):
                block = partial(
                    Block, conv, width=width, dropout=dropout, style=style,
                    attention=attends, context=context,
                )  # fmt: skip
                self.down.append(block(into=into))
                self.up.insert(0, block(into=2 * width))
                into = width
        self.shrink = nn.ModuleList(conv(n, n, 3, stride=2, padding=1) for n in widths[:-1])
        self.grow = nn.ModuleList(Doubled(conv, low, n) for low, n in pairwise(widths[::-1]))

        self.positions: nn.Parameter | None = None
        self.dense: Dense | None = None
        hidden = 16 * channels
        if math.prod(space) <= SMALL_MAP:
            lowest = [side // 2**depth for side in space]
            self.positions = nn.Parameter(torch.zeros(channels, *space))
            self.dense = Dense(widths[-1] * math.prod(lowest), hidden)

        last = conv(channels, outputs * in_channels, 3, padding=1)
        self.out = nn.Sequential(Norm(channels), zero(last))
        # Again in the order of the walk; x takes a factor at the end.
        bottom = [hidden] if self.dense is not None else []
        walk = [*signal_widths(self.down), *bottom, *signal_widths(self.up)]
        times = Sinusoids(4 * channels, scale=time_scale)
        self.signals = TimeSignals(times, 4 * channels, [*walk, 1], classes=classes, text=context)
        self.text = text

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        context = None
        if self.text is not None:
            context, labels = self.text(labels)
        signals = iter(self.signals(time, labels))
        h: Tensor = self.stem(channels_last(x))
        if self.positions is not None:
            h = h + self.positions
        across = []
        for index, block in enumerate(self.down):
            level, place = divmod(index, self.blocks)
            if level > 0 and place == 0:
                h = self.shrink[level - 1](h)
            h = block(h, next(signals), context)
            across.append(h)
        if self.dense is not None:
            h = self.dense(h, next(signals))
        for index, block in enumerate(self.up):
            level, place = divmod(index, self.blocks)
            if level > 0 and place == 0:
                h = self.grow[level - 1](h)
            h = block(torch.cat([h, across.pop()], dim=1), next(signals), context)
        out: Tensor = self.out(h).contiguous()
        near = along(next(signals), x) * x
        first, *others = torch.split(out, x.shape[1], dim=1)
        return torch.cat([first + near, *others], dim=1) if others else out + near


class Dense(nn.Module):
    """Two dense layers over a whole map of ``features`` numbers, on a residual path.

    The time shifts the features between them.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, hidden))
        self.after = nn.Sequential(nn.SiLU(), zero(nn.Linear(hidden, features)))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        change: Tensor = self.after(self.before(x.flatten(1)) + shift)
        return x + change.view(x.shape)
