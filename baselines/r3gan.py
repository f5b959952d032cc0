"""R3GAN: a relativistic pairing loss, R1 and R2, and plain modern networks (Huang et al. 2024, "The
GAN is dead; long live the GAN! A modern GAN baseline").

The published CIFAR-10 configuration (table 9; FID 1.96 with labels) is ``channels = 768,
max_channels = 768, conditional = true, gamma = 0.05, final_gamma = 0.005, learning_rate = 2e-4,
final_learning_rate = 5e-5, augment_probability = 0.55, burn_in = 20_000_000``, and otherwise the
defaults: 20.8 M parameters in the generator, 21.3 M in the discriminator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.adversarial import frozen, relativistic
from baselines.augmentation import augment
from baselines.labels import class_count, conditions_of, labels_of
from baselines.networks.pyramid import sizes, widths
from baselines.networks.r3gan import Discriminator, Generator
from baselines.networks.stylegan2 import Augment
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec

COLOUR = 0.5
"""Of the probability of augmentations, that of those of colour (appendix D)."""

Share = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]


def r3gan(
    spec: SampleSpec,
    *,
    channels: PositiveInt = 32,
    max_channels: PositiveInt = 768,
    blocks: PositiveInt = 2,
    group: PositiveInt = 16,
    latent: PositiveInt = 64,
    conditional: bool = False,
    gamma: NonNegativeFloat = 1.0,
    final_gamma: NonNegativeFloat = 0.1,
    learning_rate: PositiveFloat = 2e-4,
    final_learning_rate: PositiveFloat = 5e-5,
    beta2: Beta = 0.9,
    final_beta2: Beta = 0.99,
    augment_probability: Share = 0.0,
    burn_in: PositiveInt | None = None,
) -> R3Gan:
    """A modern GAN baseline: convolutional residual networks, MLPs for points.

    Args:
        spec: Points, or sides that are halved together, down to 4 or the first odd one; 16 at most
            may be left.
        channels: Width at the full size, doubled at each halving; for points, everywhere.
        max_channels: The width to which it is doubled.
        blocks: Residual blocks at each size.
        group: Channels in a group of a grouped convolution.
        latent: Dimensions of the generator's noise, and of the label's embedding.
        conditional: Whether the players see the labels.
        gamma: Of R1 and R2 at the start (Mescheder et al. 2018, eqs. 9 and 10).
        final_gamma: After the burn-in.
        learning_rate: Of both players at the start.
        final_learning_rate: After the burn-in.
        beta2: Of Adam at the start.
        final_beta2: After the burn-in.
        augment_probability: Of each augmentation after the burn-in; 0 at the start.
        burn_in: Examples in which these go from the start to the end, along half a cosine; half of
            the training unless given.

    Raises:
        UsageError: Sides that do not fit, ``conditional`` without labels.
    """
    features, *space = spec.shape
    levels: list[tuple[int, ...]] = sizes("r3gan", tuple(space)) if space else [()]
    if space:
        channels_of = widths(len(levels), channels=channels, max_channels=max_channels)
    else:
        channels_of = [channels]
    classes = class_count(spec, conditional=conditional)
    sizing: dict[str, Any] = {"blocks": blocks, "group": group, "classes": classes}
    return R3Gan(
        Discriminator(features, levels, channels_of, **sizing),
        Generator(features, levels, channels_of, latent=latent, **sizing),
        latent=latent,
        conditions=conditions_of(classes),
        gamma=(gamma, final_gamma),
        learning_rate=(learning_rate, final_learning_rate),
        beta2=(beta2, final_beta2),
        augment_probability=augment_probability,
        burn_in=burn_in,
    )


class R3Gan(nn.Module):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self,
        discriminator: nn.Module,
        generator: nn.Module,
        *,
        latent: int,
        conditions: frozenset[str],
        gamma: tuple[float, float],
        learning_rate: tuple[float, float],
        beta2: tuple[float, float],
        augment_probability: float,
        burn_in: int | None,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"discriminator": discriminator, "generator": generator})
        self.noise_shape = (latent,)
        self.conditions = conditions
        self.gamma = gamma
        self.learning_rate = learning_rate
        self.beta2 = beta2
        self.augment_probability = augment_probability
        self.burn_in = burn_in

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum, for both players."""
        return Optimization(
            partial(BurnInAdam, rates=self.learning_rate, beta2=self.beta2),
            lambda progress: self._scheduled(self.learning_rate, progress),
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turn, then the generator's, on the same samples (eq. 2).

        Diagnostics: ``accuracy``, the share of pairs in which the discriminator tells the real
        sample; ``r1`` and ``r2``.
        """
        real, labels = batch.data, labels_of(batch.condition, self.conditions)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        transform = self._augment(progress)
        # The generator does not move before its own turn, so one forward pass serves both turns.
        noise = torch.randn(len(real), *self.noise_shape, device=real.device)
        fake = generator(noise, labels)

        (logits_real, logits_fake), squared_norms = discriminator(
            real, fake.detach(), labels=labels, augment=transform, penalty=True
        )
        r1, r2 = self._scheduled(self.gamma, progress) / 2 * squared_norms.mean(1)
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

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``."""
        labels = labels_of(condition, self.conditions)
        samples: Tensor = self.players["generator"](noise, labels)
        return samples

    def _augment(self, progress: Progress) -> Augment | None:
        if self.augment_probability == 0:
            return None
        p = self._scheduled((0.0, self.augment_probability), progress)
        return partial(augment, p=p, colour=COLOUR, cutout=True)

    def _scheduled(self, ends: tuple[float, float], progress: Progress) -> float:
        """From the start to the end of the burn-in, and from there on (appendix D)."""
        burn_in = self.burn_in or progress.budget / 2
        start, end = ends
        gone = min(progress.examples / burn_in, 1.0)
        return end + (start - end) * (1 + math.cos(math.pi * gone)) / 2


class BurnInAdam(torch.optim.Adam):
    """Adam with β₁ = 0, whose β₂ is as far between its ends as the learning rate between its own:
    the loop tells an optimiser its rate, and nothing else."""

    def __init__(
        self, parameters: Any, *, rates: tuple[float, float], beta2: tuple[float, float]
    ) -> None:
        # Of 1 a schedule makes the rate itself.
        super().__init__(parameters, lr=1.0, betas=(0.0, beta2[0]), fused=True)
        self.rates, self.beta2 = rates, beta2

    def step(self, closure: Any = None) -> Any:
        (first, last), (start, end) = self.rates, self.beta2
        for group in self.param_groups:
            left = 0.0 if first == last else (group["lr"] - last) / (first - last)
            group["betas"] = (0.0, end + (start - end) * left)
        return super().step(closure)
