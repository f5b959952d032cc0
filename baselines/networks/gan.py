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

from baselines.adversarial import append_labels, input_gradient, squared_norms
from baselines.networks.spectral_norm import normalise_spectra

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


def generator(
    shape: tuple[int, ...], *, channels: int, latent: int, bounded: bool, classes: int = 0
) -> Generator:
    """A network from ``(B, latent)`` to ``(B, *shape)``, in [-1, 1] where ``bounded``.

    ``channels`` is the width at full size; dense layers are ``8 * channels`` wide. The dense layers
    before the first convolution sort the noise into kinds of pictures.
    """
    features, *space = shape
    width = 8 * channels
    layers = dense_layers(latent + classes, width)
    if space:
        widths, base = levels(channels, space)
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
    return Generator(classes, *layers).apply(initialise)


class Generator(nn.Sequential):
    """Layers that take noise and, if there are ``classes``, the labels beside it."""

    def __init__(self, classes: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.classes = classes

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            noise = append_labels(noise, labels, self.classes)
        for layer in self:
            noise = layer(noise)
        return noise


def discriminator(
    shape: tuple[int, ...], *, channels: int, spectral_norm: bool, classes: int = 0
) -> Discriminator:
    """A discriminator of samples ``(C, *space)`` or ``(C,)``, as wide as ``generator`` is.

    ``spectral_norm`` divides each weight, seen as a matrix of output features by all the rest, by
    its largest singular value (Miyato et al. 2018, eq. 8).
    """
    features, *space = shape
    width = 8 * channels
    if space:
        widths, base = levels(channels, space)
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
        trunk = nn.Sequential(*dense_layers(features, width))
        head = nn.Sequential(nn.Linear(width + 1, 1))
    network = Discriminator(trunk, head, classes).apply(initialise)
    if spectral_norm:
        normalise_spectra(network)
    return network


class Discriminator(nn.Module):
    """Minibatches to logits, with the minibatch standard deviation (Karras et al. 2018, section 3).

    The trunk's features ``(B, F, *)`` are joined by one more, constant over the minibatch: their
    standard deviation over it, averaged over ``(F, *)``. A generator of little diversity gives
    itself away. The head takes the ``F + 1`` features to a logit; if there are ``classes``, the
    logit also has the product of what the head's last layer takes with a vector of the label
    (Miyato & Koyama 2018, eq. 3).
    """

    def __init__(self, trunk: nn.Module, head: nn.Sequential, classes: int = 0) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        last = head[-1]
        assert isinstance(last, nn.Linear)
        self.embedding = nn.Embedding(classes, last.in_features) if classes else None

    def forward(
        self, *minibatches: Tensor, labels: Tensor | None = None, penalty: bool = False
    ) -> tuple[Tensor, Tensor]:
        """M minibatches ``(B, *shape)`` to their logits ``(M, B)``, positive for real.

        The ``labels`` ``(B,)`` are those of each minibatch.

        Real and generated samples are two minibatches of one call: the deviation is taken over each
        alone (on each device alone), and DDP broadcasts the spectral norms' buffers only once.

        With ``penalty``, the second tensor is the squared norm ``(B,)``, float32, of the gradient
        of the first minibatch's logits (summed) with respect to its samples; else it is empty.
        """
        if not penalty:
            logits = self._logits(torch.stack(minibatches), labels)
            return logits, logits.new_empty(0)
        first, *others = minibatches
        logits, gradient = input_gradient(
            lambda x: self._logits(x[None], labels), first, next(self.parameters()).dtype
        )
        if others:
            logits = torch.cat([logits, self._logits(torch.stack(others), labels)])
        return logits, squared_norms(gradient)

    def _logits(self, minibatches: Tensor, labels: Tensor | None) -> Tensor:
        """``(M, B, *shape)`` to ``(M, B)``."""
        count, size = minibatches.shape[:2]
        features = self.trunk(minibatches.flatten(0, 1))
        variance = features.float().reshape(count, size, *features.shape[1:]).var(1, unbiased=False)
        # Where a feature is constant, the root's slope would be infinite.
        deviation = (variance + 1e-8).sqrt().flatten(1).mean(1).to(features.dtype)
        constant = deviation.repeat_interleave(size).view(-1, *[1] * (features.dim() - 1))
        constant = constant.expand_as(features[:, :1])
        features = self.head[:-1](torch.cat([features, constant], 1))
        logits: Tensor = self.head[-1](features).view(count, size)
        if self.embedding is not None:
            assert labels is not None
            projection = self.embedding(labels.repeat(count)) * features
            logits = logits + projection.sum(1).view(count, size)
        return logits


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


def levels(channels: int, space: list[int]) -> tuple[list[int], list[int]]:
    """The widths from full size down, and the sides at the last level."""
    widths, sides = [channels], space
    while all(side % 2 == 0 and side >= 4 for side in sides):
        widths.append(channels * min(2 ** len(widths), 4))
        sides = [side // 2 for side in sides]
    return widths, sides


def dense_layers(inputs: int, width: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, width),
        nn.LeakyReLU(SLOPE),
    ]


def initialise(module: nn.Module) -> None:
    """He et al. (2015), eq. 15, which keeps the variance where PyTorch's default lets it shrink."""
    if isinstance(module, (*WEIGHTED, nn.Embedding)):
        nn.init.kaiming_normal_(module.weight, SLOPE)
    if isinstance(module, WEIGHTED) and module.bias is not None:
        nn.init.zeros_(module.bias)
