"""Networks that the contestants share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field, PositiveInt
from torch import nn

from baselines.networks.mlp import MLP
from baselines.networks.unet import UNet
from genbench.types import SampleSpec

Multipliers: TypeAlias = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Dropout: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
"""Options of the networks, as a contestant's signature declares them."""


def denoising_network(
    spec: SampleSpec, *, channels: int, multipliers: Multipliers, blocks: int, dropout: Dropout
) -> nn.Module:
    """A network ``(x, time) → x``'s shape: a U-Net, or an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points ``(D,)``.
        channels: Of the U-Net's first level, a multiple of 4; an MLP's width over 8.
        multipliers: Of the channels, one a level; each level below the first halves every side.
        blocks: Residual blocks a level, on the way down as on the way up. An MLP has as many blocks
            in all as the U-Net would have.
        dropout: Inside the residual blocks, in [0, 1).

    Raises:
        UsageError: Samples or channels that the U-Net cannot take.
    """
    if len(spec.shape) == 1:
        depth = 2 * blocks * len(multipliers)
        return MLP(spec.shape[0], width=8 * channels, blocks=depth, dropout=dropout)
    return UNet(
        spec.shape, channels=channels, multipliers=multipliers, blocks=blocks, dropout=dropout
    )
