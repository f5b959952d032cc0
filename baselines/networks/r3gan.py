"""R3GAN's networks (Huang et al. 2024, section 3, configuration E): a generator and, its mirror
image, a discriminator, of residual blocks without any normalisation. For points, MLPs of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from baselines.networks.pyramid import Filter
from baselines.networks.stylegan2 import Augment, judged

CONV: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Keeps the variance across a leaky ReLU (He et al. 2015, eq. 15)."""
EXPANSION = 2
"""Of the width inside a block: an inverted bottleneck."""


class Block(nn.Module):
    """x + f(x): a 1×1 convolution to twice the width, a grouped 3×3 one, a 1×1 one back, with leaky
    ReLUs between them; without sides, two dense layers.

    f starts at zero; its other layers start smaller than usual, by the number of all ``blocks`` of
    the network to the power -1/(2m - 2), m the number of layers (Zhang et al. 2019, section 3).
    """

    def __init__(self, width: int, dimensions: int, *, group: int, blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        layers: list[nn.Module]
        if dimensions:
            conv, groups = CONV[dimensions], inner // math.gcd(inner, group)
            layers = [
                conv(width, inner, 1),
                conv(inner, inner, 3, padding=1, groups=groups),
                conv(inner, width, 1, bias=False),
            ]
        else:
            layers = [nn.Linear(width, inner), nn.Linear(inner, width, bias=False)]
        scale = GAIN * blocks ** (-1 / (2 * len(layers) - 2))
        self.layers = nn.ModuleList(
            drawn(layer, scale if layer is not layers[-1] else 0.0) for layer in layers
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.layers
        y: Tensor = first(x)
        for layer in others:
            y = layer(leaky_relu(y, SLOPE))
        return x + y


class Up(nn.Module):
    """Twice the sides, another width."""

    def __init__(self, inputs: int, outputs: int, dimensions: int) -> None:
        super().__init__()
        self.conv = _narrowed(inputs, outputs, dimensions)
        self.filter = Filter(dimensions)

    def forward(self, x: Tensor) -> Tensor:
        return self.filter.up(self.conv(x))


class Down(nn.Module):
    """Half the sides, another width."""

    def __init__(self, inputs: int, outputs: int, dimensions: int) -> None:
        super().__init__()
        self.conv = _narrowed(inputs, outputs, dimensions)
        self.filter = Filter(dimensions)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.filter.down(x))
        return out


class Basis(nn.Module):
    """Noise ``(B, inputs)`` to ``(B, width, *base)``: learned features, scaled by the noise."""

    def __init__(self, inputs: int, width: int, base: tuple[int, ...]) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(width, *base))
        self.linear = drawn(nn.Linear(inputs, width, bias=False))

    def forward(self, noise: Tensor) -> Tensor:
        scale: Tensor = self.linear(noise)
        return self.features * scale.view(*scale.shape, *[1] * (self.features.dim() - 1))


class Head(nn.Module):
    """Features ``(B, width, *base)`` to ``(B, width)``: learned sums over their positions."""

    def __init__(self, width: int, base: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, *base) / math.sqrt(math.prod(base)))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).flatten(2).sum(2)


class Generator(nn.Module):
    """z ``(B, latent)`` and, if there are ``classes``, labels ``(B,)`` → ``(B, features, *space)``.

    ``sizes`` and ``widths``: sides and channels of each level, from the smallest up, of each of
    which there are ``blocks`` blocks; for points, no size and one width.
    """

    def __init__(
        self,
        features: int,
        sizes: list[tuple[int, ...]],
        widths: list[int],
        *,
        latent: int,
        blocks: int,
        group: int,
        classes: int,
    ) -> None:
        super().__init__()
        dimensions, total = len(sizes[0]), blocks * len(sizes)
        inputs = latent + (latent if classes else 0)
        self.classes = classes
        self.embed = drawn(nn.Linear(classes, latent, bias=False)) if classes else None
        layers: list[nn.Module] = [
            Basis(inputs, widths[0], sizes[0])
            if dimensions
            else drawn(nn.Linear(inputs, widths[0]))
        ]
        for number, width in enumerate(widths):
            if number:
                layers.append(Up(widths[number - 1], width, dimensions))
            layers += [Block(width, dimensions, group=group, blocks=total) for _ in range(blocks)]
        layers.append(_pointwise(widths[-1], features, dimensions))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            assert labels is not None
            z = torch.cat([z, self.embed(one_hot(labels, self.classes).to(z.dtype))], dim=1)
        out: Tensor = self.layers(z)
        return out


class Discriminator(nn.Module):
    """The generator's mirror image; a projection of the label if there are ``classes``."""

    def __init__(
        self,
        features: int,
        sizes: list[tuple[int, ...]],
        widths: list[int],
        *,
        blocks: int,
        group: int,
        classes: int,
    ) -> None:
        super().__init__()
        dimensions, total, width = len(sizes[0]), blocks * len(sizes), widths[0]
        layers: list[nn.Module] = [_pointwise(features, widths[-1], dimensions)]
        for number, outer in enumerate(reversed(widths)):
            if number:
                layers.append(Down(widths[-number], outer, dimensions))
            layers += [Block(outer, dimensions, group=group, blocks=total) for _ in range(blocks)]
        if dimensions:
            layers.append(Head(width, sizes[0]))
        layers.append(drawn(nn.Linear(width, width if classes else 1, bias=False)))
        self.layers = nn.Sequential(*layers)
        self.classes = classes
        self.embed = (
            drawn(nn.Linear(classes, width, bias=False), 1 / math.sqrt(width)) if classes else None
        )

    def forward(
        self,
        *minibatches: Tensor,
        labels: Tensor | None = None,
        augment: Augment | None = None,
        penalty: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """M minibatches ``(B, *shape)`` to their logits ``(M, B)`` and, with ``penalty``, the
        squared norms of ``judged``. The labels ``(B,)`` are those of every minibatch."""

        def logits_of(x: Tensor) -> Tensor:
            x = self.layers(x if augment is None else augment(x))
            if self.embed is None:
                return x[:, 0]
            assert labels is not None
            wanted: Tensor = self.embed(one_hot(labels, self.classes).to(x.dtype))
            return (x * wanted.repeat(len(minibatches), 1)).sum(1)

        return judged(logits_of, minibatches, penalty, next(self.parameters()).dtype)


def drawn(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """``layer`` with weights from N(0, gain² / inputs of one output), biases 0."""
    for name, parameter in layer.named_parameters():
        if name == "bias":
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=gain / math.sqrt(parameter[0].numel()))
    return layer


def _pointwise(inputs: int, outputs: int, dimensions: int) -> nn.Module:
    """The same linear layer at each position; of points, which have none, with a bias."""
    if dimensions:
        return drawn(CONV[dimensions](inputs, outputs, 1, bias=False))
    return drawn(nn.Linear(inputs, outputs))


def _narrowed(inputs: int, outputs: int, dimensions: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else _pointwise(inputs, outputs, dimensions)
