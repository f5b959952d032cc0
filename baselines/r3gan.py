"""R3GAN: a relativistic pairing loss, R1 and R2, and plain modern networks (Huang et al. 2024, "The
GAN is dead; long live the GAN! A modern GAN baseline").

The published CIFAR-10 configuration (table 9; FID 1.96 with labels) is ``channels = 768,
max_channels = 768, conditional = true, gamma = 0.05, final_gamma = 0.005, learning_rate = 2e-4,
final_learning_rate = 5e-5, augment_probability = 0.55, burn_in = 20_000_000``, and otherwise the
defaults: 20.8 M parameters in the generator, 21.3 M in the discriminator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from baselines.adversarial import TWICE, TwoPlayers, frozen, relativistic
from baselines.augmentation import augment
from baselines.conditioning import class_count
from baselines.networks.pyramid import PyramidOptions, sizes
from baselines.networks.r3gan import Discriminator, Generator
from baselines.networks.stylegan2 import Augment
from baselines.optimizers import Beta2
from genbench.api import Batch, Optimization, PlayerStep, Progress, SampleSpec

COLOUR = 0.5
"""Of the probability of augmentations, that of those of colour (appendix D)."""


@dataclass(frozen=True)
class BurnInOptions:
    """What changes from the start of a training to the end of its burn-in, and stays from there."""

    gamma: NonNegativeFloat = 1.0
    """Of R1 and R2 at the start (Mescheder et al. 2018, eqs. 9 and 10)."""
    final_gamma: NonNegativeFloat = 0.1
    learning_rate: PositiveFloat = 2e-4
    """Of both players at the start."""
    final_learning_rate: PositiveFloat = 5e-5
    beta2: Beta2 = 0.9
    """Of Adam at the start."""
    final_beta2: Beta2 = 0.99
    augment_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of each augmentation after the burn-in; 0 at the start."""
    burn_in: PositiveInt | None = None
    """Examples in which these go from the start to the end, along half a cosine; by default half
    of the training."""

    def between(self, start: float, end: float, progress: Progress) -> float:
        """The value on the way from ``start`` to ``end`` (appendix D)."""
        burn_in = self.burn_in or progress.budget / 2
        gone = min(progress.examples / burn_in, 1.0)
        return end + (start - end) * (1 + math.cos(math.pi * gone)) / 2


def r3gan(
    spec: SampleSpec,
    *,
    network: PyramidOptions = PyramidOptions(max_channels=768),
    blocks: PositiveInt = 2,
    group: PositiveInt = 16,
    schedule: BurnInOptions = BurnInOptions(),
) -> R3Gan:
    """A modern GAN baseline: convolutional residual networks, MLPs for points.

    Args:
        spec: Points, or sides that are halved together, down to 4 or the first odd one; 16 at most
            may be left.
        network: ``channels`` is the width everywhere for points; ``latent`` are the dimensions of
            the label's embedding too.
        blocks: Residual blocks at each size.
        group: Channels in a group of a grouped convolution.
        schedule: See ``BurnInOptions``.

    Raises:
        UsageError: Sides that do not fit, ``conditional`` without labels.
    """
    features, *space = spec.shape
    levels: list[tuple[int, ...]] = sizes("r3gan", tuple(space)) if space else [()]
    widths = network.widths(len(levels)) if space else [network.channels]
    classes = class_count(spec, conditional=network.conditional)
    sizing: dict[str, Any] = {"blocks": blocks, "group": group, "classes": classes}
    judge = Discriminator(features, levels, widths, **sizing)
    maker = Generator(features, levels, widths, latent=network.latent, **sizing)
    players = {"discriminator": judge, "generator": maker}
    return R3Gan(players, schedule, latent=network.latent, classes=classes)


class R3Gan(TwoPlayers):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        schedule: BurnInOptions,
        *,
        latent: int,
        classes: int,
    ) -> None:
        super().__init__(players, latent=latent, classes=classes)
        self.schedule = schedule
        self.eager_only = TWICE

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum, for both players."""
        schedule = self.schedule
        rates = schedule.learning_rate, schedule.final_learning_rate
        beta2 = schedule.beta2, schedule.final_beta2
        return Optimization(
            partial(BurnInAdam, rates=rates, beta2=beta2),
            lambda progress: schedule.between(*rates, progress),
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turn, then the generator's, on the same samples (eq. 2); in the
        authors' code the second has a batch of its own, of real samples too.

        Diagnostics: ``accuracy``, the share of pairs in which the discriminator recognises the
        real sample; ``r1`` and ``r2``.
        """
        real, labels = batch.data, self.training_labels(batch)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        transform = self._augment(progress)
        # The generator does not move before its own turn, so one forward pass serves both turns.
        fake = generator(self.noise(len(real), real.device), labels)

        (logits_real, logits_fake), squared_norms = discriminator(
            real, fake.detach(), labels=labels, augment=transform, penalty=True
        )
        schedule = self.schedule
        gamma = schedule.between(schedule.gamma, schedule.final_gamma, progress)
        r1, r2 = gamma / 2 * squared_norms.mean(1)
        loss = relativistic(logits_real, logits_fake) + r1 + r2
        accuracy = (logits_real > logits_fake).float().mean()
        yield PlayerStep(
            "discriminator", loss, {"accuracy": accuracy, "r1": r1.detach(), "r2": r2.detach()}
        )

        with frozen(discriminator):
            (logits_real, logits_fake), _ = discriminator(
                real, fake, labels=labels, augment=transform
            )
        yield PlayerStep("generator", relativistic(logits_fake, logits_real))

    def _augment(self, progress: Progress) -> Augment | None:
        final = self.schedule.augment_probability
        if final == 0:
            return None
        p = self.schedule.between(0.0, final, progress)
        return partial(augment, p=p, colour=COLOUR, cutout=True)


class BurnInAdam(torch.optim.Adam):
    """Adam with β₁ = 0, whose β₂ follows the learning rate: it is as far between ``beta2`` as the
    learning rate is between ``rates``. The loop sets an optimiser's learning rate, nothing else."""

    def __init__(
        self, parameters: Any, *, rates: tuple[float, float], beta2: tuple[float, float]
    ) -> None:
        # With lr = 1, the schedule gives the rate itself.
        super().__init__(parameters, lr=1.0, betas=(0.0, beta2[0]), fused=True)
        self.rates, self.beta2 = rates, beta2

    def step(self, closure: Any = None) -> Any:
        (first, last), (start, end) = self.rates, self.beta2
        for group in self.param_groups:
            left = 0.0 if first == last else (group["lr"] - last) / (first - last)
            group["betas"] = (0.0, end + (start - end) * left)
        return super().step(closure)
