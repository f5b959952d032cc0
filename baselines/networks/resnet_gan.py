"""The residual GAN of Gulrajani et al. (2017, appendix F), which Miyato et al. (2018) took up.

For 32×32 pictures these are the published networks: three blocks up from 4×4, two down to 8×8 and
two that stay. Other sizes have as many blocks as halvings, all of one width. The shape of one
sample is ``(C, *space)`` with 1 to 3 spatial dimensions, or ``(C,)`` for a point, which has an MLP.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from baselines.adversarial import input_gradient
from baselines.networks import gan
from baselines.networks.batch_norm import BatchNorm
from baselines.networks.dcgan import halved
from baselines.networks.gan import CONV, POOL, dense_layers

Layer = TypeVar("Layer", bound=nn.Module)


def generator(
    shape: tuple[int, ...], *, channels: int, latent: int, bounded: bool, classes: int
) -> nn.Module:
    """From ``(B, latent)`` and labels ``(B,)`` to ``(B, *shape)``, in [-1, 1] where ``bounded``."""
    if len(shape) == 1:
        return gan.generator(
            shape, channels=channels, latent=latent, bounded=bounded, classes=classes
        )
    return ResnetGenerator(shape, channels, latent, bounded, classes)


def discriminator(
    shape: tuple[int, ...], *, channels: int, classes: int, pool: Literal["mean", "sum"], bias: bool
) -> ProjectionDiscriminator:
    """Of samples ``(C, *space)`` or ``(C,)``. ``pool``: how the last map becomes a vector;
    ``bias``: of the last layer."""
    features, *space = shape
    if not space:
        width = 8 * channels
        dense = nn.Sequential(*dense_layers(features, width)).apply(gan.initialise)
        return ProjectionDiscriminator(dense, width, classes, bias)
    # One halving less than the generator has doublings, from the third on.
    doublings = len(halved(shape)) - 1
    halvings = min(doublings, max(2, doublings - 1))
    trunk = nn.Sequential(
        FirstBlock(features, channels, len(space)),
        *(Block(channels, len(space), halve=level < halvings) for level in range(1, halvings + 2)),
        nn.ReLU(),
        Pool(pool),
    )
    return ProjectionDiscriminator(trunk, channels, classes, bias)


class ResnetGenerator(nn.Module):
    """A linear layer to the least map, blocks that double it, and a convolution to the sample.

    With ``classes``, the blocks are normalised by label (Miyato & Koyama 2018, section 4).
    """

    def __init__(
        self, shape: tuple[int, ...], channels: int, latent: int, bounded: bool, classes: int
    ) -> None:
        super().__init__()
        features, *space = shape
        sides = halved(shape)
        self.first = glorot(nn.Linear(latent, channels * math.prod(sides[-1])))
        self.unflatten = nn.Unflatten(1, (channels, *sides[-1]))
        self.blocks = nn.ModuleList(
            UpBlock(channels, len(space), classes) for _ in range(len(sides) - 1)
        )
        self.out = nn.Sequential(
            BatchNorm(channels),
            nn.ReLU(),
            glorot(CONV[len(space)](channels, features, 3, padding=1)),
            nn.Tanh() if bounded else nn.Identity(),
        )

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.unflatten(self.first(noise))
        for block in self.blocks:
            h = block(h, labels)
        samples: Tensor = self.out(h)
        return samples


class ProjectionDiscriminator(nn.Module):
    """Minibatches to logits, b + ⟨w + v_label, φ(x)⟩ (Miyato & Koyama 2018, eq. 3)."""

    def __init__(self, trunk: nn.Module, width: int, classes: int, bias: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.last = glorot(nn.Linear(width, 1, bias=bias))
        self.embedding = glorot(nn.Embedding(classes, width)) if classes else None

    def forward(
        self, *minibatches: Tensor, labels: Tensor | None = None, slopes: bool = False
    ) -> tuple[Tensor, Tensor]:
        """M minibatches ``(B, *shape)``, of the same ``labels`` ``(B,)``, to logits ``(M, B)``.

        With ``slopes``, which takes two minibatches, the second tensor is the norm ``(B,)``,
        float32, of the gradient at a random point between each sample of the first and its
        counterpart in the second (Gulrajani et al. 2017, eq. 3); else it is empty.
        """
        everyone = None if labels is None else labels.repeat(len(minibatches))
        logits = self._logits(torch.cat(minibatches), everyone).view(len(minibatches), -1)
        if not slopes:
            return logits, logits.new_empty(0)
        dtype = next(self.parameters()).dtype
        first, second = (x.to(dtype) for x in minibatches)
        shape = (len(first), *[1] * (first.ndim - 1))
        share = torch.rand(shape, dtype=dtype, device=first.device)
        _, gradient = input_gradient(
            lambda x: self._logits(x, labels), first.lerp(second, share), dtype
        )
        return logits, torch.linalg.vector_norm(gradient.flatten(1), dim=1)

    def _logits(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """``(B, *shape)`` to ``(B,)``."""
        features = self.trunk(x)
        logits: Tensor = self.last(features)[:, 0]
        if self.embedding is None:
            return logits
        projection: Tensor = (self.embedding(labels) * features).sum(1)
        return logits + projection


class UpBlock(nn.Module):
    """Doubles the sides: normalisation, ReLU and a convolution, twice."""

    def __init__(self, channels: int, dimensions: int, classes: int) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.norms = nn.ModuleList(BatchNorm(channels, classes) for _ in range(2))
        self.first = glorot(conv(channels, channels, 3, padding=1), math.sqrt(2))
        self.second = glorot(conv(channels, channels, 3, padding=1), math.sqrt(2))
        self.shortcut = glorot(conv(channels, channels, 1))

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        h = relu(self.norms[0](x, labels))
        h = relu(self.norms[1](self.first(interpolate(h, scale_factor=2)), labels))
        # A 1×1 convolution and a doubling of the sides can change places.
        total: Tensor = interpolate(self.shortcut(x), scale_factor=2) + self.second(h)
        return total


class Block(nn.Module):
    """ReLU and a convolution, twice; without a norm. It may halve the sides, by averaging."""

    def __init__(self, channels: int, dimensions: int, *, halve: bool) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.first = glorot(conv(channels, channels, 3, padding=1), math.sqrt(2))
        self.second = glorot(conv(channels, channels, 3, padding=1), math.sqrt(2))
        self.pool = POOL[dimensions](2) if halve else nn.Identity()
        self.shortcut = glorot(conv(channels, channels, 1)) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.pool(self.second(relu(self.first(relu(x)))))
        total: Tensor = self.shortcut(self.pool(x)) + residual
        return total


class FirstBlock(nn.Module):
    """A ``Block`` from the samples themselves, which no ReLU may clip; it halves the sides."""

    def __init__(self, features: int, channels: int, dimensions: int) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.first = glorot(conv(features, channels, 3, padding=1), math.sqrt(2))
        self.second = glorot(conv(channels, channels, 3, padding=1), math.sqrt(2))
        self.pool = POOL[dimensions](2)
        self.shortcut = glorot(conv(features, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.pool(self.second(relu(self.first(x))))
        total: Tensor = self.shortcut(self.pool(x)) + residual
        return total


class Pool(nn.Module):
    """``(B, C, *space)`` to ``(B, C)``."""

    def __init__(self, how: Literal["mean", "sum"]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return flat.mean(2) if self.how == "mean" else flat.sum(2)


def glorot(layer: Layer, gain: float = 1.0) -> Layer:
    """``layer`` with weights of Glorot & Bengio (2010), eq. 16, times ``gain``, as both published
    codes have them: √2 inside the residual paths, where a ReLU halves the variance."""
    nn.init.xavier_uniform_(layer.get_parameter("weight"), gain)
    for name, parameter in layer.named_parameters():
        if name == "bias":
            nn.init.zeros_(parameter)
    return layer
