"""The networks of DCGAN (Radford et al. 2016): strided convolutions and batch normalisation.

The shape of one sample is ``(C, *space)`` with 1 to 3 spatial dimensions, or ``(C,)`` for a point,
which has an MLP. Labels come as one-hot vectors beside what either network takes (Mirza & Osindero
2014).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.adversarial import append_labels
from baselines.networks import gan
from baselines.networks.batch_norm import BatchNorm
from baselines.networks.gan import CONV, SLOPE, WEIGHTED, Generator, dense_layers
from genbench.api.errors import UsageError

TRANSPOSED: dict[int, type[nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
KERNEL, STRIDE, PADDING = 4, 2, 1
"""As in the authors' Torch code: each position of the larger map has as many neighbours as any
other. (Their first, in Theano, had kernels of 5.)"""


def halved(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The sides of ``(C, *space)`` at full size, and after each halving of all of them.

    They are halved while all are even, down to 4 as in the paper; or to 2 where there would be but
    one halving, which for 8×8 pictures leaves networks of a single hidden layer.

    Raises:
        UsageError: Sides that cannot be halved once; more than 3 of them.
    """
    sides = [shape[1:]]
    while all(side % 2 == 0 for side in sides[-1]):
        least = min(sides[-1]) // 2
        if least < 2 or (least < 4 and len(sides) > 2):
            break
        sides.append(tuple(side // 2 for side in sides[-1]))
    if len(sides) == 1 or len(shape) > 4:
        raise UsageError(
            "the samples must have at most 3 sides, each even and at least 4, to be halved; "
            f"they are {shape}"
        )
    return sides


def generator(
    shape: tuple[int, ...], *, channels: int, latent: int, bounded: bool, classes: int
) -> Generator:
    """From ``(B, latent)`` and labels ``(B,)`` to ``(B, *shape)``, in [-1, 1] where ``bounded``.

    ``channels`` is the width at half size, doubled with each halving.
    """
    features, *space = shape
    if not space:
        return gan.generator(
            shape, channels=channels, latent=latent, bounded=bounded, classes=classes
        )
    sides = halved(shape)
    base, widths = sides[-1], [channels * 2**level for level in range(len(sides) - 1)]
    up = TRANSPOSED[len(space)]
    layers: list[nn.Module] = [
        nn.Linear(latent + classes, widths[-1] * math.prod(base), bias=False),
        nn.Unflatten(1, (widths[-1], *base)),
    ]
    for wide, narrow in pairwise(reversed(widths)):
        layers += [
            BatchNorm(wide),
            nn.ReLU(),
            up(wide, narrow, KERNEL, STRIDE, PADDING, bias=False),
        ]
    layers += [BatchNorm(channels), nn.ReLU(), up(channels, features, KERNEL, STRIDE, PADDING)]
    if bounded:
        layers += [nn.Tanh()]
    return Generator(classes, *layers).apply(_initialise)


def discriminator(shape: tuple[int, ...], *, channels: int, classes: int) -> Discriminator:
    """Of samples ``(C, *space)`` or ``(C,)``, with the widths of ``generator``."""
    features, *space = shape
    if not space:
        layers = [*dense_layers(features + classes, 8 * channels), nn.Linear(8 * channels, 1)]
        return Discriminator(classes, *layers).apply(gan.initialise)
    sides = halved(shape)
    widths = [channels * 2**level for level in range(len(sides) - 1)]
    down = CONV[len(space)]
    # Neither the first layer nor the last is normalised (section 3 of the paper).
    layers = [down(features + classes, channels, KERNEL, STRIDE, PADDING), nn.LeakyReLU(SLOPE)]
    for narrow, wide in pairwise(widths):
        layers += [
            down(narrow, wide, KERNEL, STRIDE, PADDING, bias=False),
            BatchNorm(wide),
            nn.LeakyReLU(SLOPE),
        ]
    layers += [nn.Flatten(), nn.Linear(widths[-1] * math.prod(sides[-1]), 1)]
    return Discriminator(classes, *layers).apply(_initialise)


class Discriminator(nn.Sequential):
    """Minibatches to logits, each normalised by itself."""

    def __init__(self, classes: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.classes = classes

    def forward(self, *minibatches: Tensor, labels: Tensor | None = None) -> Tensor:
        """M minibatches ``(B, *shape)``, of the same ``labels`` ``(B,)``, to logits ``(M, B)``.

        Real and generated samples are two minibatches of one call, which is all that DDP sees.
        """
        logits = []
        for x in minibatches:
            if labels is not None:
                x = append_labels(x, labels, self.classes)
            for layer in self:
                x = layer(x)
            logits.append(x[:, 0])
        return torch.stack(logits)


def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02) (section 4), the scales of a normalisation from N(1, 0.02), as in the
    authors' Torch code."""
    if isinstance(module, (*WEIGHTED, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, BatchNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
