"""The sizes of a convolutional GAN, from the smallest to the full one, and the filter between them.

A signal ``(B, C, *space)`` has 1 to 3 sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)

from genbench.api.errors import UsageError

CONVOLVE = {1: conv1d, 2: conv2d, 3: conv3d}
SPREAD = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}
"""The adjoint of a convolution of stride 2: zeros between the values, then the kernel."""
SMALLEST = 4
"""Sides are halved down to this, or to the first that is odd."""
LARGEST = 16
"""What a side may come down to: a network's smallest features have a weight at each position."""


def sizes(model: str, space: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sides at each level, from the smallest up: 28×28 gives 7×7, 14×14, 28×28.

    Raises:
        UsageError: More than 3 sides, or one that cannot be halved down to 16.
    """
    levels = [space]
    while all(side % 2 == 0 and side >= 2 * SMALLEST for side in levels[0]):
        levels.insert(0, tuple(side // 2 for side in levels[0]))
    if len(space) > 3 or max(levels[0]) > LARGEST:
        raise UsageError(
            f"{model} needs at most 3 sides, all of which can be halved down to at most {LARGEST} "
            f"together; the samples have {' × '.join(map(str, space))}"
        )
    return levels


@dataclass(frozen=True)
class PyramidOptions:
    """Options of the networks with such levels."""

    channels: PositiveInt = 32
    """Width at the full size, doubled at each halving."""
    max_channels: PositiveInt = 512
    """The width to which it is doubled."""
    latent: PositiveInt = 64
    """Dimensions of the generator's noise."""
    conditional: bool = False
    """Whether the players see the labels."""

    def widths(self, levels: int) -> list[int]:
        """The channels at each level, from the smallest size up."""
        return [
            min(self.channels * 2**halvings, self.max_channels)
            for halvings in reversed(range(levels))
        ]


class Filter(nn.Module):
    """The low-pass filter [1, 3, 3, 1] / 8 along each side, and resampling by it: linear
    interpolation (Zhang 2019; Karras et al. 2020, "Analyzing and improving", appendix B)."""

    kernel: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = reduce(lambda product, _: product[..., None] * taps, range(dimensions - 1), taps)
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def up(self, x: Tensor) -> Tensor:
        """Twice the sides, constants kept: zeros between the values, then the filter."""
        kernel = 2**self.dimensions * self._kernel(x)
        return SPREAD[self.dimensions](x, kernel, stride=2, padding=1, groups=x.shape[1])

    def down(self, x: Tensor) -> Tensor:
        """Half the sides: the filter, then every second value. The adjoint of ``up``, divided by
        2 to the number of sides."""
        return CONVOLVE[self.dimensions](x, self._kernel(x), stride=2, padding=1, groups=x.shape[1])

    def smooth(self, x: Tensor, *, padding: int) -> Tensor:
        """The filter alone, over zeros ``padding`` wide: sides grow by ``2 * padding - 3``."""
        return CONVOLVE[self.dimensions](x, self._kernel(x), padding=padding, groups=x.shape[1])

    def _kernel(self, x: Tensor) -> Tensor:
        kernel = self.kernel.to(x.dtype)
        return kernel.expand(x.shape[1], *kernel.shape[1:])
