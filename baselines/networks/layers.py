"""Layers of the denoising networks: how the time and the label enter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Sinusoids(nn.Module):
    """Time ``(B,)`` → ``(B, features)``: sines, then cosines, of ``scale * time - offset``.

    At frequencies from 1 down to 1e-4 (Vaswani et al. 2017, section 3.5); without ``endpoint`` the
    last of them is left out, as in Dhariwal & Nichol 2021, who have the cosines first.
    """

    def __init__(
        self,
        features: int,
        *,
        scale: float = 1000.0,
        offset: float = 0.0,
        endpoint: bool = True,
        cosines_first: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.shift = offset / scale
        self.cosines_first = cosines_first
        count = features // 2
        self.frequencies: Tensor
        frequencies = scale * torch.logspace(0, -4, count if endpoint else count + 1)[:count]
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        angles = (time[:, None] - self.shift) * self.frequencies
        waves = [angles.sin(), angles.cos()]
        return torch.cat(waves[::-1] if self.cosines_first else waves, dim=1)


class Fourier(nn.Module):
    """Time ``(B,)`` → ``(B, features)``: sines and cosines at random frequencies, drawn once from a
    normal distribution of deviation 16 (Tancik et al. 2020; Song et al. 2021, appendix H)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.frequencies: Tensor
        self.register_buffer("frequencies", 16 * torch.randn(features // 2))

    def forward(self, time: Tensor) -> Tensor:
        angles = 2 * math.pi * self.frequencies * time[:, None]
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeSignals(nn.Module):
    """Time ``(B,)`` → one signal ``(B, width)`` for each of ``widths``.

    What ``embedding`` makes of the time, two layers, and one projection for all blocks of a
    network, which starts at zero (Ho et al. 2020, appendix B).

    With ``classes`` = K, labels ``(B,)`` int64 in 0…K come too, K for none: a row learned for each
    is added to what comes out of the two layers (Dhariwal & Nichol 2021, section 3.1), or, where
    ``labels_first``, to what goes in (Karras et al. 2022, their released code). With ``text``,
    vectors ``(B, text)`` come in the place of labels, and a layer for them in that of the rows.
    """

    def __init__(
        self,
        embedding: Sinusoids | Fourier,
        hidden: int,
        widths: Sequence[int],
        *,
        classes: int = 0,
        text: int = 0,
        labels_first: bool = False,
    ) -> None:
        super().__init__()
        self.widths = list(widths)
        self.embedding = embedding
        self.layers = nn.Sequential(
            nn.Linear(embedding.features, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            zero(nn.Linear(hidden, sum(widths))),
        )
        self.labels: nn.Embedding | nn.Linear | None = None
        self.entry = 0 if labels_first else 3
        if classes:
            self.labels = nn.Embedding(classes + 1, embedding.features if labels_first else hidden)
        elif text:
            self.labels = nn.Linear(text, hidden)

    def forward(self, time: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        signals: Tensor = self.layers[: self.entry](self.embedding(time))
        if self.labels is not None:
            signals = signals + self.labels(labels)
        signals = self.layers[self.entry :](signals)
        return torch.split(signals, self.widths, dim=1)


def glorot(layer: nn.Module, *, parts: Sequence[int] = (), gain: float = 1.0) -> None:
    """Weights as in Glorot & Bengio 2010, eq. 16, biases 0, if it is a layer that has such.

    Where it is several layers in one, each of as many outputs as ``parts`` say, each by itself.
    """
    if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        with torch.no_grad():
            for part in torch.split(layer.weight, list(parts) or len(layer.weight)):
                nn.init.xavier_uniform_(part, gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def zero(layer: nn.Module) -> nn.Module:
    """``layer`` with all its parameters 0, so that a residual path starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
