"""A generative adversarial network (Goodfellow et al. 2014) with the regularisers of its field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.adversarial import LOSSES, Loss, accuracies, frozen
from baselines.labels import class_count, conditions_of, labels_of
from baselines.networks.gan import discriminator, generator
from baselines.optimizers import decaying
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError


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
    conditional: bool = False,
) -> Gan:
    """A convolutional ResNet GAN; an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides divisible by 4, or points.
        channels: Width at full size, doubled at each halving up to fourfold; an eighth of an MLP's.
        latent: Dimensions of the generator's noise; for points, try as few as they have.
        loss: ``non-saturating`` (Goodfellow et al. 2014, section 3) or ``hinge`` (Lim & Ye 2017).
        r1: γ of the gradient penalty R1 (Mescheder et al. 2018, eq. 9); 0 for none.
        r1_interval: Steps from one penalty to the next, each weighted by as much (Karras et al.
            2020, section 3.1).
        spectral_norm: Of every layer of the discriminator (Miyato et al. 2018).
        learning_rate: Of both players at the start; falls to 0 along half a cosine.
        conditional: On labels: beside the noise (Mirza & Osindero 2014), and projected on the
            discriminator's features (Miyato & Koyama 2018).

    Raises:
        UsageError: More than 3 sides, one that is not divisible by 4, labels that are not there.
    """
    _, *space = spec.shape
    if len(space) > 3 or any(side % 4 for side in space):
        raise UsageError(f"gan needs at most 3 sides, divisible by 4; the samples are {spec.shape}")
    classes = class_count(spec, conditional=conditional)
    bounded = spec.levels is not None
    return Gan(
        discriminator(spec.shape, channels=channels, spectral_norm=spectral_norm, classes=classes),
        generator(spec.shape, channels=channels, latent=latent, bounded=bounded, classes=classes),
        latent=latent,
        classes=classes,
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
        classes: int,
        loss: Loss,
        r1: float,
        r1_interval: int,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"discriminator": discriminator, "generator": generator})
        self.noise_shape = (latent,)
        self.conditions = conditions_of(classes)
        self.loss = loss
        self.r1 = r1
        self.r1_interval = r1_interval
        self.learning_rate = learning_rate

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum (Karras et al. 2018, A.1), cosine decay, for both players."""
        return Optimization(
            partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.0, 0.99), fused=True),
            decaying("cosine"),
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turn, then the generator's, on the same generated samples.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator tells rightly; ``r1``, the penalty before its weight for lazy regularisation,
        on the steps that apply it.
        """
        real, labels = batch.data, labels_of(batch.condition, self.conditions)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        # The generator does not move before its own turn, so one forward pass serves both turns.
        fake = generator(torch.randn(len(real), *self.noise_shape, device=real.device), labels)

        penalized = self.r1 > 0 and progress.step % self.r1_interval == 0
        (logits_real, logits_fake), squared_norm = discriminator(
            real, fake.detach(), labels=labels, penalty=penalized
        )
        loss = self.loss.discriminator(logits_real, logits_fake)
        diagnostics = accuracies(logits_real, logits_fake)
        if penalized:
            r1 = self.r1 / 2 * squared_norm.mean()
            # Part of the same step, so that Adam's constants need no correction for the interval.
            loss = loss + self.r1_interval * r1
            diagnostics["r1"] = r1.detach()
        yield PlayerStep("discriminator", loss, diagnostics)

        with frozen(discriminator):
            (logits_fake,), _ = discriminator(fake, labels=labels)
        yield PlayerStep("generator", self.loss.generator(logits_fake))

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``, of the condition's labels
        where the model is conditional."""
        labels = labels_of(condition, self.conditions)
        samples: Tensor = self.players["generator"](noise, labels)
        return samples
