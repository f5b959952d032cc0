"""The networks of DF-GAN (Tao et al. 2022): a text scales and shifts what the generator draws, and
the discriminator judges pictures and texts together.

The shape of one sample is ``(C, *space)`` with 1 to 3 spatial dimensions. At each level the sides
are twice those of the level before; the width is ``channels`` at the full size and doubles with
each halving, up to eightfold.

A player has an encoder of its own: a ``TextEncoder`` of tokens, or a ``SentenceEncoder`` of what a
frozen encoder gives. The paper's is an LSTM that was trained on pairs of texts and pictures, and is
frozen.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate, leaky_relu

from baselines.adversarial import squared_norms
from baselines.networks.gan import CONV, SLOPE
from baselines.networks.pyramid import sizes
from baselines.networks.text import Encoder
from genbench.api.errors import UsageError

POOL = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
WIDEST = 8
"""Times ``channels``, of the smallest maps."""


def levels(shape: tuple[int, ...], channels: int) -> tuple[list[int], tuple[int, ...]]:
    """The widths from the smallest size up, and the smallest size. Raises ``UsageError`` for points
    and for sides that cannot all be halved, down to at most 16."""
    if len(shape) == 1:
        raise UsageError("df-gan draws pictures, sounds or clips, not points")
    found = sizes("df-gan", shape[1:])
    if len(found) == 1:  # there would be no block for the text to come in
        sides = " × ".join(map(str, shape[1:]))
        raise UsageError(
            f"df-gan needs sides that are even and at least 8; the samples have {sides}"
        )
    widths = [channels * min(2**halvings, WIDEST) for halvings in range(len(found))]
    return widths[::-1], found[0]


class Generator(nn.Module):
    """Noise ``(B, latent)`` and texts, as the encoder reads them, to samples ``(B, C, *space)``.

    They are not squashed into [-1, 1], as the paper's are by a tanh: of pictures that are mostly of
    one dark colour the generator drives that to its end, where nothing is learned any more.
    """

    def __init__(
        self, encoder: Encoder, shape: tuple[int, ...], *, channels: int, latent: int
    ) -> None:
        super().__init__()
        widths, base = levels(shape, channels)
        conv = CONV[len(base)]
        self.encoder = encoder
        self.base = nn.Sequential(
            nn.Linear(latent, widths[0] * math.prod(base)), nn.Unflatten(1, (widths[0], *base))
        )
        condition = latent + encoder.width
        self.blocks = nn.ModuleList(
            UpBlock(wide, narrow, condition, len(base)) for wide, narrow in pairwise(widths)
        )
        self.out = conv(widths[-1], shape[0], 3, padding=1)

    def forward(self, noise: Tensor, tokens: Tensor) -> Tensor:
        _, sentence = self.encoder(tokens)
        condition = torch.cat([noise, sentence], dim=1)
        h = self.base(noise)
        for block in self.blocks:
            h = block(h, condition)
        x: Tensor = self.out(leaky_relu(h, SLOPE))
        return x


class UpBlock(nn.Module):
    """Doubles the sides, then two convolutions on a residual path, each after a ``Fusion``."""

    def __init__(self, inputs: int, outputs: int, condition: int, dimensions: int) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.fusions = nn.ModuleList(Fusion(width, condition) for width in (inputs, outputs))
        self.first = conv(inputs, outputs, 3, padding=1)
        self.second = conv(outputs, outputs, 3, padding=1)
        self.shortcut = _shortcut(inputs, outputs, dimensions)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = interpolate(x, scale_factor=2)
        h = self.first(self.fusions[0](x, condition))
        h = self.second(self.fusions[1](h, condition))
        total: Tensor = self.shortcut(x) + h
        return total


class Fusion(nn.Module):
    """A scale and a shift of each channel by the condition, then a leaky ReLU; twice (section
    3.4)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_affine(condition, width, 1.0) for _ in range(2))
        self.shifts = nn.ModuleList(_affine(condition, width, 0.0) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        places = [1] * (x.ndim - 2)
        for scale, shift in zip(self.scales, self.shifts, strict=True):
            by = scale(condition).view(*x.shape[:2], *places)
            x = leaky_relu(by * x + shift(condition).view_as(by), SLOPE)
        return x


class Discriminator(nn.Module):
    """Samples and texts to logits: positive for a real sample with its own text."""

    def __init__(self, encoder: Encoder, shape: tuple[int, ...], *, channels: int) -> None:
        super().__init__()
        widths, base = levels(shape, channels)
        dimensions, widths = len(base), widths[::-1]
        conv = CONV[dimensions]
        self.encoder = encoder
        self.trunk = nn.Sequential(
            conv(shape[0], channels, 3, padding=1),
            *(DownBlock(narrow, wide, dimensions) for narrow, wide in pairwise(widths)),
        )
        self.joint = nn.Sequential(
            conv(widths[-1] + encoder.width, 2 * channels, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(2 * channels * math.prod(base), 1, bias=False),
        )

    def forward(
        self, *minibatches: Tensor, tokens: Tensor, mismatched: bool = False, penalty: bool = False
    ) -> tuple[Tensor, Tensor]:
        """M minibatches ``(B, *shape)`` with the same texts, B of them, to logits ``(M, B)``; where
        ``mismatched``, one row more: the first minibatch, each sample with its neighbour's text.

        With ``penalty``, the second tensor is the squared norm ``(B,)``, float32, of the gradient
        of the first minibatch's logits (summed) with respect to its samples and the vectors of its
        texts; else it is empty. Autocast is off for it, as for ``adversarial.input_gradient``.
        """
        first, *others = minibatches
        if penalty:
            with torch.autocast(first.device.type, enabled=False):
                x = first.detach().to(next(self.parameters()).dtype).requires_grad_()
                _, sentence = self.encoder(tokens)
                # A view, since what counts FLOPs cannot hook a leaf.
                features = self.trunk(x.view_as(x))
                logits = self.judge(features, sentence)
                by_x, by_text = torch.autograd.grad(logits.sum(), (x, sentence), create_graph=True)
            norms = squared_norms(by_x.float()) + squared_norms(by_text.float())
        else:
            _, sentence = self.encoder(tokens)
            features = self.trunk(first)
            logits = self.judge(features, sentence)
            norms = logits.new_empty(0)
        rows = [logits, *(self.judge(self.trunk(x), sentence) for x in others)]
        if mismatched:
            rows.append(self.judge(features, sentence.roll(1, dims=0)))
        return torch.stack([row.to(rows[-1].dtype) for row in rows]), norms

    def judge(self, features: Tensor, sentence: Tensor) -> Tensor:
        """What the trunk saw of samples, and the vectors of their texts, to logits ``(B,)``."""
        planes = sentence.view(*sentence.shape, *[1] * (features.ndim - 2))
        planes = planes.expand(-1, -1, *features.shape[2:]).to(features.dtype)
        logits: Tensor = self.joint(torch.cat([features, planes], dim=1))
        return logits.squeeze(1)


class DownBlock(nn.Module):
    """Halves the sides. The residual path has a weight that is learned, from 0."""

    def __init__(self, inputs: int, outputs: int, dimensions: int) -> None:
        super().__init__()
        conv = CONV[dimensions]
        self.residual = nn.Sequential(
            conv(inputs, outputs, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            conv(outputs, outputs, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
        )
        self.shortcut = _shortcut(inputs, outputs, dimensions)
        self.pool = POOL[dimensions]
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.pool(self.shortcut(x), 2) + self.weight * self.residual(x)
        return total


def _shortcut(inputs: int, outputs: int, dimensions: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else CONV[dimensions](inputs, outputs, 1)


def _affine(condition: int, width: int, start: float) -> nn.Sequential:
    """Two dense layers, which give ``start`` whatever the condition is, until they learn."""
    last = nn.Linear(width, width)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, start)
    return nn.Sequential(nn.Linear(condition, width), nn.ReLU(), last)
