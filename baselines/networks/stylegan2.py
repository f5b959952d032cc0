"""StyleGAN2's networks, a generator with output skips and a residual discriminator, for signals
``(C, *space)`` with 1 to 3 sides (Karras et al. 2020, "Analyzing and improving the image quality of
StyleGAN").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, one_hot

from baselines.adversarial import input_gradient, squared_norms
from baselines.networks.pyramid import CONVOLVE, SPREAD, Filter

Augment: TypeAlias = Callable[[Tensor], Tensor]

MAPPING_RATE = 0.01
"""Of the mapping network's learning rate, in units of the others' (Karras et al. 2019, C)."""
STYLE_DECAY = 0.995
"""Of the running mean of w, a forward pass in training. Of these the authors' code has one a turn
of each player; here one serves both turns."""
LABEL_LAYERS = 8
"""Of the discriminator's mapping of labels, in the published code, whatever the generator has."""


class Linear(nn.Module):
    """``(B, inputs)`` → ``(B, outputs)``, with learning rate ``rate`` times the others'."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.rate / math.sqrt(self.weight.shape[1])
        return linear(x, self.weight * scale, self.bias * self.rate)


class Conv(nn.Module):
    """A convolution that keeps the sides, or halves them by the low-pass filter first."""

    def __init__(
        self, inputs: int, outputs: int, width: int, dimensions: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *[width] * dimensions))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.filter = Filter(dimensions)
        self.convolve = CONVOLVE[dimensions]
        self.padding = width // 2

    def forward(self, x: Tensor, *, down: bool = False) -> Tensor:
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if down:  # padded once, before the filter
            smooth = self.filter.smooth(x, padding=1 + self.padding)
            return self.convolve(smooth, weight, self.bias, stride=2)
        return self.convolve(x, weight, self.bias, padding=self.padding)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, its outputs' variance undone.

    Equations 1 and 3: w' = s_i w_oik and w'' = w' / √(Σ_ik w'² + ε). The weights are the same for
    all samples, and the features are scaled instead, before by s_i and after by the root.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int, dimensions: int, latent: int, demodulate: bool
    ) -> None:
        super().__init__()
        self.style = Linear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *[width] * dimensions))
        self.filter = Filter(dimensions)
        self.dimensions = dimensions
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
        """x ``(B, inputs, *space)`` and w ``(B, latent)`` → ``(B, outputs, *space)``."""
        style: Tensor = self.style(w)
        if not self.demodulate:
            style = style / math.sqrt(self.weight[0].numel())
        x = x * self._along_channels(style, x)
        if up:  # the filter last, so that it smooths what the weights make of the zeros between
            spread = SPREAD[self.dimensions](x, self.weight.transpose(0, 1), stride=2)
            x = self.filter.smooth(spread, padding=1) * 2**self.dimensions
        else:
            x = CONVOLVE[self.dimensions](x, self.weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            energy = linear(style.square(), self.weight.square().flatten(2).sum(2))
            x = x * self._along_channels((energy + 1e-8).rsqrt(), x)
        return x

    def _along_channels(self, scale: Tensor, x: Tensor) -> Tensor:
        return scale.view(*scale.shape, *[1] * self.dimensions).to(x.dtype)


class Mapping(nn.Module):
    """z ``(B, latent)``, if any, and labels, if any, to w ``(B, width)``."""

    def __init__(self, latent: int, classes: int, width: int, layers: int) -> None:
        super().__init__()
        self.classes = classes
        self.embed = Linear(classes, width) if classes else None
        inputs = latent + (width if classes else 0)
        features = [inputs, *[width] * layers]
        self.layers = nn.ModuleList(Linear(*pair, rate=MAPPING_RATE) for pair in pairwise(features))

    def forward(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        parts = [] if z is None else [_normalized(z)]
        if self.embed is not None:
            assert labels is not None
            classes = one_hot(labels, self.classes).to(self.embed.weight.dtype)
            parts.append(_normalized(self.embed(classes)))
        x = torch.cat(parts, dim=1)
        for layer in self.layers:
            x = _activated(layer(x))
        return x


class StyledLayer(nn.Module):
    """A modulated convolution, noise of one channel, and the activation."""

    def __init__(
        self, inputs: int, outputs: int, dimensions: int, latent: int, *, up: bool
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, dimensions, latent, demodulate=True)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up = up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w, up=self.up)
        noise = self.strength * torch.randn_like(x[:, :1])
        return _activated(x + noise.to(x.dtype) + _column(self.bias, x))


class Level(nn.Module):
    """All that happens at one size: one styled layer, or two, of which the first doubles the sides;
    and the level's own contribution to the output."""

    def __init__(
        self, inputs: int, outputs: int, features: int, dimensions: int, latent: int, *, up: bool
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        if up:
            self.layers.append(StyledLayer(inputs, outputs, dimensions, latent, up=True))
        self.layers.append(StyledLayer(outputs, outputs, dimensions, latent, up=False))
        self.to_data = ModulatedConv(outputs, features, 1, dimensions, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(features))
        self.filter = Filter(dimensions)

    def forward(
        self, x: Tensor, data: Tensor | None, ws: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """``ws``: one w ``(B, latent)`` for each layer, one for the contribution, others unused."""
        for layer, w in zip(self.layers, ws, strict=False):
            x = layer(x, w)
        own = self.to_data(x, ws[len(self.layers)]) + _column(self.bias, x)
        return x, own if data is None else self.filter.up(data) + own


class Generator(nn.Module):
    """z ``(B, latent)`` and, if there are ``classes``, labels ``(B,)`` → ``(B, *shape)``.

    ``sizes`` and ``widths``: the sides and channels of each level, from the smallest up.
    """

    style_mean: Tensor

    def __init__(
        self,
        features: int,
        sizes: list[tuple[int, ...]],
        widths: list[int],
        *,
        latent: int,
        mapping_layers: int,
        classes: int,
    ) -> None:
        super().__init__()
        dimensions = len(sizes[0])
        self.mapping = Mapping(latent, classes, latent, mapping_layers)
        self.register_buffer("style_mean", torch.zeros(latent))
        self.constant = nn.Parameter(torch.randn(1, widths[0], *sizes[0]))
        self.levels = nn.ModuleList(
            Level(inputs, outputs, features, dimensions, latent, up=number > 0)
            for number, (inputs, outputs) in enumerate(pairwise([widths[0], *widths]))
        )
        # A level's output is styled as the next level's first layer is.
        self.count = 2 * len(sizes)

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float = 1.0,
        mixing: float = 0.0,
        path_lengths: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Samples, and the lengths ``(B,)`` of ``path_lengths``; else none.

        Args:
            z: Standard normal.
            labels: int64, of a conditional generator.
            truncation: ψ: how far from the mean w is let go, as a share of its own distance.
            mixing: The share of samples that take a second w from some random layer on, each by
                itself; in the authors' code, one draw for all that a device makes at a time.
            path_lengths: In full precision, and inside ``forward``, where no wrapper interferes.
        """
        if not path_lengths:
            samples = self.synthesize(self.styles_of(z, labels, truncation, mixing))
            return samples, samples.new_empty(0)
        with torch.autocast(z.device.type, enabled=False):
            return path_lengths_of(
                self.synthesize, self.styles_of(z.to(self.style_mean), labels, truncation, mixing)
            )

    def synthesize(self, styles: Tensor) -> Tensor:
        """One w for each layer and one for the output, ``(B, count, latent)``, to samples."""
        ws = styles.unbind(1)
        # Copied: a view of a parameter claims to require a gradient even where none is recorded.
        x = self.constant.repeat(len(styles), *[1] * (self.constant.dim() - 1))
        data: Tensor | None = None
        for number, level in enumerate(self.levels):
            x, data = level(x, data, ws[max(2 * number - 1, 0) :])
        assert data is not None
        return data

    def styles_of(
        self, z: Tensor, labels: Tensor | None, truncation: float, mixing: float
    ) -> Tensor:
        """The style of each layer, ``(B, layers, D)``."""
        w: Tensor = self.mapping(z, labels)
        if self.training:
            # Of the samples on this device; DDP hands the first device's mean to all.
            self.style_mean.lerp_(w.detach().to(self.style_mean).mean(0), 1 - STYLE_DECAY)
        styles = w[:, None].expand(-1, self.count, -1)
        if mixing:
            other = self.mapping(torch.randn_like(z), labels)[:, None]
            first = torch.randint(1, self.count, (len(z), 1), device=z.device)
            mixed = torch.rand(len(z), 1, device=z.device) < mixing
            layer = torch.arange(self.count, device=z.device)
            styles = torch.where((mixed & (layer >= first))[..., None], other, styles)
        if truncation != 1:
            styles = self.style_mean.lerp(styles.to(self.style_mean), truncation)
        return styles


def path_lengths_of(
    synthesize: Callable[[Tensor], Tensor], styles: Tensor
) -> tuple[Tensor, Tensor]:
    """Samples, and ‖J_wᵀ y‖ ``(B,)``, where J_w is their Jacobian with respect to w and y has a
    standard normal value for each of theirs, over the root of the number of positions (Karras et
    al. 2020, section 3.2, and its code: the mean square over the layers, each of which has its w).
    """
    samples = synthesize(styles)
    y = torch.randn_like(samples) / math.sqrt(samples[0, 0].numel())
    (gradient,) = torch.autograd.grad((samples * y).sum(), styles, create_graph=True)
    return samples, gradient.square().sum(2).mean(1).sqrt()


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves the sides; where ``residual``, beside a shortcut
    (divided by √2, so that the variance does not grow)."""

    def __init__(self, inputs: int, outputs: int, dimensions: int, *, residual: bool) -> None:
        super().__init__()
        self.first = Conv(inputs, inputs, 3, dimensions)
        self.second = Conv(inputs, outputs, 3, dimensions)
        self.shortcut = Conv(inputs, outputs, 1, dimensions, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = _activated(self.second(_activated(self.first(x)), down=True))
        if self.shortcut is None:
            return y
        total: Tensor = y + self.shortcut(x, down=True)
        return total * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Minibatches to logits, of a projection of the label if there are ``classes`` (Miyato &
    Koyama 2018); ``sizes`` and ``widths`` as the generator's."""

    def __init__(
        self,
        features: int,
        sizes: list[tuple[int, ...]],
        widths: list[int],
        *,
        residual: bool,
        group: int,
        classes: int,
    ) -> None:
        super().__init__()
        dimensions, base = len(sizes[0]), widths[0]
        self.from_data = Conv(features, widths[-1], 1, dimensions)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(inputs, outputs, dimensions, residual=residual)
            for inputs, outputs in pairwise(reversed(widths))
        )
        self.group = group
        self.conv = Conv(base + 1, base, 3, dimensions)
        self.dense = Linear(base * math.prod(sizes[0]), base)
        self.out = Linear(base, base if classes else 1)
        self.mapping = Mapping(0, classes, base, LABEL_LAYERS) if classes else None

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
            return self._logits(x if augment is None else augment(x), labels, len(minibatches))

        return judged(logits_of, minibatches, penalty, self.out.weight.dtype)

    def _logits(self, x: Tensor, labels: Tensor | None, minibatches: int) -> Tensor:
        x = _activated(self.from_data(x))
        for block in self.blocks:
            x = block(x)
        x = torch.cat([x, deviation(x, minibatches, self.group)], dim=1)
        x = _activated(self.conv(x))
        x = self.out(_activated(self.dense(x.flatten(1))))
        if self.mapping is None:
            return x[:, 0]
        wanted: Tensor = self.mapping(None, labels).repeat(minibatches, 1)
        return (x * wanted).sum(1) / math.sqrt(x.shape[1])


def judged(
    logits_of: Callable[[Tensor], Tensor],
    minibatches: tuple[Tensor, ...],
    penalty: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Logits ``(M, B)`` of M minibatches and, with ``penalty``, ``(M, B)``: the squared norm of the
    gradient of each minibatch's logits with respect to its samples (not augmented yet); else
    nothing. One call for all of them, as DDP requires of a discriminator in a turn."""
    x, count = torch.cat(minibatches), len(minibatches)
    if not penalty:
        logits = logits_of(x)
        return logits.view(count, -1), logits.new_empty(0)
    # Seen as another tensor: torch counts FLOPs by hooks, which cannot hang on a leaf.
    logits, gradient = input_gradient(lambda leaf: logits_of(leaf.view_as(leaf)), x, dtype)
    return logits.view(count, -1), squared_norms(gradient).view(count, -1)


def deviation(x: Tensor, minibatches: int, group: int) -> Tensor:
    """One more feature ``(M * B, 1, *space)``: the standard deviation over groups of samples of one
    minibatch, averaged over all features (Karras et al. 2018, section 3). A group has ``group``
    samples, or the next fewer that parts a minibatch evenly."""
    size = len(x) // minibatches
    group = next(count for count in range(min(group, size), 0, -1) if size % count == 0)
    grouped = x.float().view(minibatches, group, size // group, *x.shape[1:])
    spread = (grouped.var(1, unbiased=False) + 1e-8).sqrt().flatten(2).mean(2)
    each = spread[:, None].expand(-1, group, -1).reshape(-1, *[1] * (x.dim() - 1))
    return each.to(x.dtype).expand_as(x[:, :1])


def _normalized(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _activated(x: Tensor) -> Tensor:
    return leaky_relu(x, 0.2) * math.sqrt(2)


def _column(bias: Tensor, x: Tensor) -> Tensor:
    return bias.view(-1, *[1] * (x.dim() - 2)).to(x.dtype)
