"""Blocks of the U-Nets, once for signals of one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.networks.attention import Context, CrossAttention, attend
from baselines.networks.layers import zero
from baselines.networks.norm import Norm, along
from genbench.api.errors import UsageError

Convolution: TypeAlias = type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]
CONVOLUTIONS: dict[int, Convolution] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONVOLVED = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
AVERAGED = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}

BOX = (1, 1)
"""The filter that averages two neighbours on the way down and repeats each on the way up."""


@dataclass(frozen=True)
class Style:
    """How all residual blocks of a network are made."""

    scaled: bool = True
    """The time scales and shifts each channel after its normalisation (Dhariwal & Nichol 2021,
    section 3.1); else it is added before."""
    gain: float = 1.0
    """Of each sum of two paths: √½ keeps their variance (Song et al. 2021, appendix H)."""
    head: int | None = None
    """Channels of an attention head, or as many as they have in common with the width; None: one
    head has them all."""
    taps: tuple[int, ...] = BOX
    """The filter by which a block halves or doubles the sides, of an even length."""
    projected: bool = False
    """Whether a block that resamples has a convolution beside it where the width stays."""
    groups: int | None = None
    """Of the normalisations: so many, or the most that divide the channels; None: ``Norm``'s."""
    group_size: int = 4
    """The channels that a group has at least."""
    eps: float = 1e-5

    def norm(self, channels: int, *, silu: bool = True) -> Norm:
        groups = self.groups
        if groups is not None:
            most = max(1, min(groups, channels // self.group_size))
            groups = next(count for count in range(most, 0, -1) if channels % count == 0)
        return Norm(channels, silu=silu, groups=groups, eps=self.eps)


class Block(nn.Module):
    """Two convolutions on a residual path, then attention.

    Between the convolutions comes the time, ``signal`` numbers a sample. With ``resample`` the
    block halves ("down") or doubles ("up") every side before the first convolution, and beside it
    (Song et al. 2021, appendix H, after Brock et al. 2019). Where there is attention and a
    ``context`` of so many channels, the positions attend to that last (Rombach et al. 2022, section
    3.3).
    """

    def __init__(
        self,
        conv: Convolution,
        into: int,
        width: int,
        dropout: float,
        style: Style,
        *,
        attention: bool = False,
        resample: Literal["down", "up"] | None = None,
        context: int = 0,
    ) -> None:
        super().__init__()
        self.scaled = style.scaled
        self.gain = style.gain
        self.signal = 2 * width if style.scaled else width
        first: nn.Module
        if resample is None:
            first = conv(into, width, 3, padding=1)
        elif resample == "up" and style.taps == BOX:
            first = Doubled(conv, into, width)
        else:
            first = Resampled(conv, into, width, style.taps, up=resample == "up")
        self.before = nn.Sequential(style.norm(into), first)
        self.norm = style.norm(width)
        self.after = nn.Sequential(nn.Dropout(dropout), zero(conv(width, width, 3, padding=1)))
        projected = into != width or (resample is not None and style.projected)
        self.skip = conv(into, width, 1) if projected else nn.Identity()
        self.resample = Resample(style.taps, up=resample == "up") if resample else nn.Identity()
        self.attention = Attention(conv, width, style) if attention else nn.Identity()
        self.crossed: CrossAttention | None = None
        if attention and context:
            self.crossed = CrossAttention(width, context)
            zero(self.crossed.out)

    def forward(self, x: Tensor, signal: Tensor, context: Context | None = None) -> Tensor:
        h = self.before(x)
        h = self.norm(h, signal) if self.scaled else self.norm(h.add_(along(signal, h)))
        h = self.after(h).add_(self.skip(self.resample(x)))
        out: Tensor = self.attention(h if self.gain == 1 else h.mul_(self.gain))
        if self.crossed is None or context is None:
            return out
        crossed: Tensor = self.crossed(out.flatten(2).transpose(1, 2), context)
        return crossed.transpose(1, 2).reshape(out.shape)


def signal_widths(modules: Iterable[nn.Module]) -> list[int]:
    """Of the time's signals for those of ``modules`` that are residual blocks."""
    return [module.signal for module in modules if isinstance(module, Block)]


class Attention(nn.Module):
    """Every position attends to every other, on a residual path (Wang et al. 2018)."""

    def __init__(self, conv: Convolution, width: int, style: Style) -> None:
        super().__init__()
        self.gain = style.gain
        self.heads = 1 if style.head is None else width // math.gcd(width, style.head)
        self.norm = style.norm(width, silu=False)
        # As convolutions: where channels lie last nothing is moved, and on AMD they are twice as
        # fast as MKL's matrix product.
        self.queries_keys_values = conv(width, 3 * width, 1)
        self.out = zero(conv(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.queries_keys_values(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        mixed = attend(q, k, v, heads=self.heads).transpose(1, 2).reshape(x.shape)
        out: Tensor = self.out(mixed).add_(x)
        return out if self.gain == 1 else out.mul_(self.gain)


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


class Halved(nn.Module):
    """A convolution at every other position, from the first or, where not ``centred``, from the
    second on, as TensorFlow's and so that of Ho et al. 2020."""

    def __init__(self, conv: Convolution, width: int, *, centred: bool) -> None:
        super().__init__()
        self.centred = centred
        self.conv = conv(width, width, 3, stride=2, padding=1 if centred else 0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x if self.centred else F.pad(x, (0, 1) * (x.ndim - 2)))
        return out


class Resample(nn.Module):
    """Halves or doubles every side by a separable filter; zeros lie around (Zhang 2019)."""

    def __init__(self, taps: Sequence[int], *, up: bool) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        if self.taps == BOX:
            return F.interpolate(x, scale_factor=2) if self.up else AVERAGED[x.ndim - 2](x, 2)
        padding = len(self.taps) // 2 - 1
        kernel = separable(self.taps, x)
        if not self.up:
            convolved = CONVOLVED[x.ndim - 2]
            return convolved(x, kernel, stride=2, padding=padding, groups=x.shape[1])
        transposed = TRANSPOSED[x.ndim - 2]
        kernel = kernel * 2 ** (x.ndim - 2)
        return transposed(x, kernel, stride=2, padding=padding, groups=x.shape[1])


class Resampled(nn.Module):
    """A convolution over what ``Resample`` makes of x."""

    def __init__(
        self, conv: Convolution, into: int, width: int, taps: Sequence[int], *, up: bool
    ) -> None:
        super().__init__()
        self.resample = Resample(taps, up=up)
        self.conv = conv(into, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.resample(x))
        return out


class Blurred(nn.Module):
    """x filtered, then convolved at every other position; zeros lie around x, not between them."""

    def __init__(self, conv: Convolution, into: int, width: int, taps: Sequence[int]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.conv = conv(into, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        convolved = CONVOLVED[x.ndim - 2]
        padding = len(self.taps) // 2
        blurred = convolved(x, separable(self.taps, x), padding=padding, groups=x.shape[1])
        out: Tensor = self.conv(blurred)
        return out


def separable(taps: Sequence[int], x: Tensor) -> Tensor:
    """The filter for each channel of x ``(B, C, *space)``, of sum 1: ``(C, 1, *len(taps))``."""
    line = torch.tensor(taps, dtype=x.dtype, device=x.device) / sum(taps)
    kernel = line
    for _ in range(x.ndim - 3):
        kernel = kernel[..., None] * line
    return kernel.expand(x.shape[1], 1, *kernel.shape)


def channels_last(x: Tensor) -> Tensor:
    """x with channels last in memory where convolutions are faster so; what follows keeps it."""
    if x.device.type == "cpu" and x.ndim - 2 in CHANNELS_LAST:
        return x.contiguous(memory_format=CHANNELS_LAST[x.ndim - 2])
    return x


def check_sides(space: Sequence[int], halvings: int) -> None:
    """Raises ``UsageError`` unless there are one to three sides that can be halved so often."""
    if len(space) not in CONVOLUTIONS:
        raise UsageError(f"the network needs samples of 1 to 3 sides, not {len(space)}")
    if any(side % 2**halvings for side in space):
        sides = "×".join(map(str, space))
        raise UsageError(
            f"{halvings + 1} multipliers halve the sides {halvings} times, so each must be "
            f"divisible by {2**halvings}; the samples are {sides}"
        )


def check_channels(channels: int) -> None:
    """Raises ``UsageError`` if the normalisations cannot group them."""
    if channels % 4:
        raise UsageError(f"channels must be a multiple of 4, got {channels}")
