"""The U-Nets of the papers: DDPM, DDPM++, NCSN++ and ADM, as their authors wired them.

All walk alike: every map on the way down is handed across, so that a level has one block more on
the way up than down, and two blocks with attention between them lie at the bottom. Their
differences are a ``Design``. They take signals of one to three dimensions; the papers' are
pictures.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from baselines.networks.blocks import (
    CONVOLUTIONS,
    Attention,
    Block,
    Blurred,
    Doubled,
    Halved,
    Style,
    channels_last,
    check_channels,
    check_sides,
    signal_widths,
)
from baselines.networks.layers import Fourier, Sinusoids, TimeSignals, glorot, zero


@dataclass(frozen=True)
class Design:
    """The differences between the published U-Nets."""

    style: Style
    resampling: Literal["blocks", "centred", "shifted"]
    """What halves and doubles the sides: residual blocks; or convolutions, that on the way down
    centred or, as TensorFlow pads, shifted by one position."""
    last_attends: bool = False
    """Of a level's blocks on the way up, the last alone has attention."""
    pyramid: bool = False
    """Each level down adds what x, filtered and halved so often, is at its size (Song et al. 2021,
    appendix H: progressive growing of the input, residual)."""
    fourier: bool = False
    """The time is embedded at random frequencies, twice as many."""
    endpoint: bool = True
    cosines_first: bool = False
    """Of ``Sinusoids``."""
    offset: float = 0.0
    """Of the timesteps: those of Ho et al. 2020 run from 0, where our t begins at 1."""
    labels_first: bool = False
    """Labels enter before the layers that the time passes through."""
    xavier: bool = True
    """Weights start as in Glorot & Bengio 2010, biases at 0; else both at PyTorch's default."""
    keys_gain: float = 1.0
    """Of the weights that make queries, keys and values, at the start."""

    def times(self, channels: int, scale: float) -> Sinusoids | Fourier:
        """The embedding of times that are to be multiplied by ``scale``."""
        if self.fourier:
            return Fourier(2 * channels)
        return Sinusoids(
            channels,
            scale=scale,
            offset=self.offset,
            endpoint=self.endpoint,
            cosines_first=self.cosines_first,
        )


DDPM = Design(
    Style(scaled=False, groups=32, eps=1e-6),
    resampling="shifted",
    offset=1.0,
)
"""Ho et al. 2020, appendix B, and their released code."""

DDPMPP = Design(
    Style(scaled=False, gain=math.sqrt(0.5), projected=True, groups=32, eps=1e-6),
    resampling="blocks",
    last_attends=True,
    labels_first=True,
    keys_gain=math.sqrt(0.1),
)
"""DDPM++ of Song et al. 2021, appendix H; with labels as in Karras et al. 2022."""

NCSNPP = replace(DDPMPP, style=replace(DDPMPP.style, taps=(1, 3, 3, 1)), pyramid=True, fourier=True)
"""NCSN++ of Song et al. 2021, appendix H, with its residual inputs."""

ADM = Design(
    Style(scaled=True, head=64, groups=32),
    resampling="blocks",
    endpoint=False,
    cosines_first=True,
    xavier=False,
)
"""Dhariwal & Nichol 2021, section 3 and table 11."""


class PublishedUNet(nn.Module):
    """``network(x, time, labels=None)``: x ``(B, C, *space)``, time ``(B,)`` → ``(B, outputs * C,
    *space)``.

    Level i has ``widths[i]`` channels and half the sides of the level above, with ``blocks``
    residual blocks on the way down and one more on the way up. Those of the levels in ``attention``
    end in self-attention. ``channels`` come out of the first convolution, and as many features of
    ``time_scale * time - design.offset`` (but for Fourier features, which see the time as it is).
    What ends a residual path starts at zero, as does the output.

    With ``classes`` = K, labels ``(B,)`` int64 in 0…K, K for none.

    Raises:
        UsageError: Not one to three sides, a side that cannot be halved so often, or channels that
            are not a multiple of 4.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        design: Design,
        *,
        channels: int,
        widths: Sequence[int],
        blocks: int,
        dropout: float,
        attention: Collection[int],
        classes: int = 0,
        outputs: int = 1,
        time_scale: float = 1000.0,
    ) -> None:
        super().__init__()
        in_channels, *space = shape
        check_sides(space, len(widths) - 1)
        check_channels(channels)
        conv = CONVOLUTIONS[len(space)]
        style = design.style

        def block(into: int, width: int, *, attends: bool = False) -> Block:
            return Block(conv, into, width, dropout, style, attention=attends)

        def resampled(width: int, *, up: bool) -> nn.Module:
            if design.resampling == "blocks":
                return Block(conv, width, width, dropout, style, resample="up" if up else "down")
            if up:
                return Doubled(conv, width, width)
            return Halved(conv, width, centred=design.resampling == "centred")

        self.gain = style.gain
        self.blocks = blocks
        # All that x passes through. A level has blocks + 1 modules on the way down, of which the
        # first changes the sides, and blocks + 2 on the way up, of which the last does.
        self.down = nn.ModuleList([conv(in_channels, channels, 3, padding=1)])
        self.pyramid, self.up = nn.ModuleList(), nn.ModuleList()
        into, above, across = channels, in_channels, [channels]
        for level, width in enumerate(widths):
            if level > 0:
                self.down.append(resampled(into, up=False))
                across.append(into)
                if design.pyramid:
                    self.pyramid.append(Blurred(conv, above, into, style.taps))
                    above = into
            for _ in range(blocks):
                self.down.append(block(into, width, attends=level in attention))
                across.append(width)
                into = width
        self.middle = nn.ModuleList(block(into, into, attends=first) for first in (True, False))
        for level, width in reversed(list(enumerate(widths))):
            for left in reversed(range(blocks + 1)):
                attends = level in attention and not (design.last_attends and left)
                self.up.append(block(into + across.pop(), width, attends=attends))
                into = width
            if level > 0:
                self.up.append(resampled(into, up=True))
        last = conv(into, outputs * in_channels, 3, padding=1)
        self.out = nn.Sequential(style.norm(into), zero(last))
        self.signals = TimeSignals(
            design.times(channels, time_scale),
            4 * channels,
            signal_widths([*self.down, *self.middle, *self.up]),
            classes=classes,
            labels_first=design.labels_first,
        )
        self._initialise(design)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        signals = iter(self.signals(time, labels))

        def through(module: nn.Module, h: Tensor) -> Tensor:
            out: Tensor = module(h, next(signals)) if isinstance(module, Block) else module(h)
            return out

        h = small = channels_last(x)
        across = []
        for index, module in enumerate(self.down):
            h = through(module, h)
            level, place = divmod(index, self.blocks + 1)
            if self.pyramid and level > 0 and place == 0:
                small = h = (h + self.pyramid[level - 1](small)) * self.gain
            across.append(h)
        for module in self.middle:
            h = through(module, h)
        for index, module in enumerate(self.up):
            if index % (self.blocks + 2) <= self.blocks:
                h = torch.cat([h, across.pop()], dim=1)
            h = through(module, h)
        out: Tensor = self.out(h)
        return out.contiguous()

    def _initialise(self, design: Design) -> None:
        """As the authors do, but for what starts at zero, where some have 1e-5 times a weight."""
        projection, labels = self.signals.layers[-1], self.signals.labels
        assert isinstance(projection, nn.Linear)
        projection.reset_parameters()
        if labels is not None and design.labels_first:
            # What a layer of Glorot & Bengio's makes of one-hot vectors of length √K, and of 0.
            *_, null = rows = labels.weight.detach()
            nn.init.xavier_uniform_(rows[:-1], gain=math.sqrt(len(rows) - 1))
            nn.init.zeros_(null)
        if not design.xavier:
            return
        self.apply(glorot)
        glorot(projection, parts=self.signals.widths)
        for module in self.modules():
            if isinstance(module, Block):
                zero(module.after[1])
            if isinstance(module, Attention):
                keys = module.queries_keys_values
                glorot(keys, parts=[len(keys.weight) // 3] * 3, gain=design.keys_gain)
                zero(module.out)
        zero(self.out[1])
