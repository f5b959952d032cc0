"""The generator and the discriminator of a GAN: residual networks for images, MLPs for points.

The shape of one sample is ``(C, *space)`` with 1 to 3 spatial dimensions, or ``(C,)`` for a point.
A convolutional network has one level for each size: the sides are halved while all of them are even
and at least 4, and the width doubles with each level, up to fourfold.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils import parametrizations

CONV: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
POOL: dict[int, type[nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d]] = {
    1: nn.AvgPool1d,
    2: nn.AvgPool2d,
    3: nn.AvgPool3d,
}
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
SLOPE = 0.2
"""Of every leaky ReLU, below zero."""


def generator(shape: tuple[int, ...], *, channels: int, latent: int, bounded: bool) -> nn.Module:
    """A network from ``(B, latent)`` to ``(B, *shape)``, in [-1, 1] where ``bounded``.

    ``channels`` is the width at full size; dense layers are ``8 * channels`` wide. The dense layers
    before the first convolution are where the noise is sorted into kinds of pictures.
    """
    features, *space = shape
    width = 8 * channels
    layers = _dense_layers(latent, width)
    if space:
        widths, base = _levels(channels, space)
        layers += [
            nn.Linear(width, widths[-1] * math.prod(base)),
            nn.Unflatten(1, (widths[-1], *base)),
            *(UpBlock(wide, narrow, len(space)) for wide, narrow in pairwise(reversed(widths))),
            nn.LeakyReLU(SLOPE),
            CONV[len(space)](channels, features, 3, padding=1),
        ]
    else:
        layers += [nn.Linear(width, features)]
    if bounded:
        layers += [nn.Tanh()]
    return nn.Sequential(*layers).apply(_initialise)


def discriminator(shape: tuple[int, ...], *, channels: int, spectral_norm: bool) -> Discriminator:
    """A discriminator of samples ``(C, *space)`` or ``(C,)``, as wide as ``generator`` is.

    ``spectral_norm`` divides each weight, seen as a matrix of output features by all the rest, by
    its largest singular value (Miyato et al. 2018, eq. 8).
    """
    features, *space = shape
    width = 8 * channels
    if space:
        widths, base = _levels(channels, space)
        trunk = nn.Sequential(
            CONV[len(space)](features, channels, 3, padding=1),
            *(DownBlock(narrow, wide, len(space)) for narrow, wide in pairwise(widths)),
            nn.LeakyReLU(SLOPE),
        )
        head = nn.Sequential(
            nn.Flatten(),
            nn.Linear((widths[-1] + 1) * math.prod(base), width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, 1),
        )
    else:
        trunk = nn.Sequential(*_dense_layers(features, width))
        head = nn.Sequential(nn.Linear(width + 1, 1))
    network = Discriminator(trunk, head).apply(_initialise)
    if spectral_norm:
        for module in list(network.modules()):
            if isinstance(module, WEIGHTED):
                parametrizations.spectral_norm(module)
    return network


class Discriminator(nn.Module):
    """Minibatches to logits, with the minibatch standard deviation (Karras et al. 2018, section 3).

    The trunk's features ``(B, F, *)`` are joined by one more, constant over the minibatch: their
    standard deviation over it, averaged over ``(F, *)``. A generator of little diversity gives
    itself away. The head takes the ``F + 1`` features to a logit.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, *minibatches: Tensor, penalty: bool = False) -> tuple[Tensor, Tensor]:
        """M minibatches ``(B, *shape)`` to their logits ``(M, B)``, positive for real.

        Real and generated samples are two minibatches of one call: the deviation is taken over each
        alone (on each device alone), and DDP broadcasts the spectral norms' buffers only once.

        With ``penalty``, the second tensor is the squared norm ``(B,)``, float32, of the gradient
        of the first minibatch's logits (summed) with respect to its samples; else it is empty.
        """
        if not penalty:
            logits = self._logits(torch.stack(minibatches))
            return logits, logits.new_empty(0)
        first, *others = minibatches
        # Here and not in the loss, where the gradient would pass through a wrapper's hooks; and in
        # the weights' own precision, since the squares of small numbers suffer most from a lower.
        with torch.autocast(first.device.type, enabled=False):
            first = first.detach().to(next(self.parameters()).dtype).requires_grad_()
            logits = self._logits(first[None])
            (gradient,) = torch.autograd.grad(logits.sum(), first, create_graph=True)
        squared_norm = gradient.float().square().flatten(1).sum(1)
        if others:
            logits = torch.cat([logits, self._logits(torch.stack(others))])
        return logits, squared_norm

    def _logits(self, minibatches: Tensor) -> Tensor:
        """``(M, B, *shape)`` to ``(M, B)``."""
        count, size = minibatches.shape[:2]
        features = self.trunk(minibatches.flatten(0, 1))
        variance = features.float().reshape(count, size, *features.shape[1:]).var(1, unbiased=False)
        # Where a feature is constant, the root's slope would be infinite.
        deviation = (variance + 1e-8).sqrt().flatten(1).mean(1).to(features.dtype)
        constant = deviation.repeat_interleave(size).view(-1, *[1] * (features.dim() - 1))
        constant = constant.expand_as(features[:, :1])
        logits: Tensor = self.head(torch.cat([features, constant], 1))
        return logits.view(count, size)


class UpBlock(nn.Module):
    """A pre-activation residual block that doubles the sides, as in Miyato et al. (2018), B.

    In the place of batch normalisation, which would tie a sample to its batch, the sum is scaled by
    √½, so that the variance does not grow from block to block.
    """

    def __init__(self, inputs: int, outputs: int, dimensions: int) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.first = conv(inputs, outputs, 3, padding=1)
        self.second = conv(outputs, outputs, 3, padding=1)
        self.shortcut = conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.first(interpolate(leaky_relu(x, SLOPE), scale_factor=2))
        residual = self.second(leaky_relu(residual, SLOPE))
        total: Tensor = interpolate(self.shortcut(x), scale_factor=2) + residual
        return total * math.sqrt(0.5)


class DownBlock(nn.Module):
    """``UpBlock`` mirrored: it halves the sides, by averaging."""

    def __init__(self, inputs: int, outputs: int, dimensions: int) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.first = conv(inputs, inputs, 3, padding=1)
        self.second = conv(inputs, outputs, 3, padding=1)
        self.shortcut = conv(inputs, outputs, 1)
        self.pool = POOL[dimensions](2)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.first(leaky_relu(x, SLOPE))
        residual = self.pool(self.second(leaky_relu(residual, SLOPE)))
        total: Tensor = self.shortcut(self.pool(x)) + residual
        return total * math.sqrt(0.5)


def _levels(channels: int, space: list[int]) -> tuple[list[int], list[int]]:
    """The widths from full size down, and the sides at the last level."""
    widths, sides = [channels], space
    while all(side % 2 == 0 and side >= 4 for side in sides):
        widths.append(channels * min(2 ** len(widths), 4))
        sides = [side // 2 for side in sides]
    return widths, sides


def _dense_layers(inputs: int, width: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, width),
        nn.LeakyReLU(SLOPE),
    ]


def _initialise(module: nn.Module) -> None:
    """He et al. (2015), eq. 15, which keeps the variance where PyTorch's default lets it shrink."""
    if isinstance(module, WEIGHTED):
        nn.init.kaiming_normal_(module.weight, SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
