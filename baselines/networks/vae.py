"""The autoencoder of a VAE: the residual networks of ``gan`` for images, MLPs for points."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.adversarial import append_labels
from baselines.networks.gan import (
    CONV,
    SLOPE,
    DownBlock,
    dense_layers,
    generator,
    initialise,
    levels,
)


def autoencoder(
    shape: tuple[int, ...], *, channels: int, latent: int, bounded: bool, classes: int
) -> Autoencoder:
    """Of samples ``(C, *space)`` or ``(C,)``; the decoder's output is in [-1, 1] where ``bounded``.

    ``channels`` is the width at full size; dense layers are ``8 * channels`` wide.
    """
    features, *space = shape
    width = 8 * channels
    layers: list[nn.Module]
    if space:
        widths, base = levels(channels, space)
        layers = [
            CONV[len(space)](features + classes, channels, 3, padding=1),
            *(DownBlock(narrow, wide, len(space)) for narrow, wide in pairwise(widths)),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(widths[-1] * math.prod(base), width),
            nn.LeakyReLU(SLOPE),
        ]
    else:
        layers = dense_layers(features + classes, width)
    encoder = nn.Sequential(*layers).apply(initialise)
    decoder = generator(shape, channels=channels, latent=latent, bounded=bounded, classes=classes)
    return Autoencoder(encoder, width, decoder, latent, classes)


class Autoencoder(nn.Module):
    """Samples to codes and back. One network, called as one, whichever half is asked for."""

    def __init__(
        self, encoder: nn.Module, width: int, decoder: nn.Module, latent: int, classes: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.code = nn.Linear(width, 2 * latent)
        self.decoder = decoder
        self.classes = classes

    def forward(
        self, x: Tensor, labels: Tensor | None = None, *, decode: bool = False
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Samples ``(B, *shape)`` to what the decoder makes of a random code of each, likewise
        ``(B, *shape)``, and the mean and the log-variance ``(B, latent)`` of that code.

        With ``decode``, codes ``(B, latent)`` to ``(B, *shape)`` alone.
        """
        if decode:
            decoded: Tensor = self.decoder(x, labels)
            return decoded
        seen = x if labels is None else append_labels(x, labels, self.classes)
        mean, log_variance = self.code(self.encoder(seen)).chunk(2, dim=1)
        code = torch.addcmul(mean, (log_variance / 2).exp(), torch.randn_like(mean))
        return self.decoder(code, labels), mean, log_variance
