"""A generative adversarial network (Goodfellow et al. 2014) with the regularisers of its field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from baselines.networks.gan import discriminator, generator
from genbench.errors import UsageError
from genbench.types import Batch, Condition, Optimization, Progress, SampleSpec, Turn


def gan(
    spec: SampleSpec,
    *,
    channels: PositiveInt = 16,
    latent: PositiveInt = 16,
    loss: Literal["non-saturating", "hinge"] = "non-saturating",
    r1: NonNegativeFloat = 1.0,
    r1_interval: PositiveInt = 4,
    spectral_norm: bool = False,
    learning_rate: PositiveFloat = 3e-3,
) -> Gan:
    """A convolutional ResNet GAN, unconditional; an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides divisible by 4, or points. Labels are ignored.
        channels: Width at full size, doubled at each halving up to fourfold; an eighth of an MLP's.
        latent: Dimensions of the generator's noise; for points, try as few as they have.
        loss: ``non-saturating`` (Goodfellow et al. 2014, section 3) or ``hinge`` (Lim & Ye 2017).
        r1: γ of the gradient penalty R1 (Mescheder et al. 2018, eq. 9); 0 for none.
        r1_interval: Steps from one penalty to the next, each weighted by as much (Karras et al.
            2020, section 3.1).
        spectral_norm: Of every layer of the discriminator (Miyato et al. 2018).
        learning_rate: Of both players at the start; falls to 0 along half a cosine.

    Raises:
        UsageError: More than 3 sides, or one that is not divisible by 4.
    """
    _, *space = spec.shape
    if len(space) > 3 or any(side % 4 for side in space):
        raise UsageError(f"gan needs at most 3 sides, divisible by 4; the samples are {spec.shape}")
    return Gan(
        discriminator(spec.shape, channels=channels, spectral_norm=spectral_norm),
        generator(spec.shape, channels=channels, latent=latent, bounded=spec.levels is not None),
        latent=latent,
        loss=LOSSES[loss],
        r1=r1,
        r1_interval=r1_interval,
        learning_rate=learning_rate,
    )


class Gan(nn.Module):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self,
        discriminator: nn.Module,
        generator: nn.Module,
        *,
        latent: int,
        loss: Loss,
        r1: float,
        r1_interval: int,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"discriminator": discriminator, "generator": generator})
        self.noise_shape = (latent,)
        self.loss = loss
        self.r1 = r1
        self.r1_interval = r1_interval
        self.learning_rate = learning_rate

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum (Karras et al. 2018, A.1), cosine decay, for both players."""
        return Optimization(
            partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.0, 0.99), fused=True),
            lambda progress: self.learning_rate * (1 + math.cos(math.pi * progress.fraction)) / 2,
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """The discriminator's turn, then the generator's, on the same generated samples.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator tells rightly; ``r1``, the penalty before its weight for lazy regularisation,
        on the steps that apply it.
        """
        real = batch.data
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        # The generator does not move before its own turn, so one forward pass serves both turns.
        fake = generator(torch.randn(len(real), *self.noise_shape, device=real.device))

        penalized = self.r1 > 0 and progress.step % self.r1_interval == 0
        (logits_real, logits_fake), squared_norm = discriminator(
            real, fake.detach(), penalty=penalized
        )
        loss = self.loss.discriminator(logits_real, logits_fake)
        diagnostics = {
            "accuracy_real": (logits_real > 0).float().mean(),
            "accuracy_fake": (logits_fake < 0).float().mean(),
        }
        if penalized:
            r1 = self.r1 / 2 * squared_norm.mean()
            # Part of the same step, so that Adam's constants need no correction for the interval.
            loss = loss + self.r1_interval * r1
            diagnostics["r1"] = r1.detach()
        yield Turn("discriminator", loss, diagnostics)

        with frozen(discriminator):
            (logits_fake,), _ = discriminator(fake)
        yield Turn("generator", self.loss.generator(logits_fake))

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``; the condition is ignored."""
        samples: Tensor = self.players["generator"](noise)
        return samples


@dataclass(frozen=True)
class Loss:
    """What each player descends, as a function of logits ``(B,)``: positive means real."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Of the logits of real and of generated samples."""
    generator: Callable[[Tensor], Tensor]
    """Of the logits of generated samples."""


LOSSES = {
    # softplus(-l) = -log D and softplus(l) = -log(1 - D), for D = sigmoid(l).
    "non-saturating": Loss(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda fake: softplus(-fake).mean(),
    ),
    "hinge": Loss(
        lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    ),
}


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Graphs recorded inside pass through ``network`` and leave its parameters out.

    Only the recording counts, so the parameters are free again before the backward pass, whatever
    becomes of it. It is right under DDP too: DDP arms its reducer at each forward pass, and faults
    only a backward pass that reached *some* of the parameters; here it reaches none, so nothing is
    reduced, and the next forward pass arms it anew. (Leaving the parameters in would be as right,
    but would compute, and under DDP communicate, gradients that nobody uses.)
    """
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
