"""DCGAN: deep convolutional generative adversarial networks (Radford, Metz & Chintala 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.adversarial import LOSSES, accuracies, frozen, latent_size
from baselines.labels import class_count, conditions_of, labels_of
from baselines.networks.batch_norm import Standing
from baselines.networks.dcgan import discriminator, generator
from baselines.optimizers import Decay, decaying
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec


def dcgan(
    spec: SampleSpec,
    *,
    channels: PositiveInt = 64,
    latent: PositiveInt | None = None,
    learning_rate: PositiveFloat = 1e-3,
    decay: Decay = "linear",
    conditional: bool = False,
) -> Dcgan:
    """DCGAN: strided convolutions and batch normalisation; an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, even and at least 4, or points.
        channels: Width at half size, doubled with each halving (128 in the paper, for 64×64); an
            eighth of an MLP's.
        latent: Dimensions of the generator's noise; by default the paper's 100, or as many as a
            point has.
        learning_rate: Of both players at the start; 2e-4 in the paper, for longer trainings.
        decay: How it falls; ``none`` in the paper.
        conditional: On labels, beside what either network takes (Mirza & Osindero 2014).

    Raises:
        UsageError: Sides that cannot be halved, labels that are not there.
    """
    classes = class_count(spec, conditional=conditional)
    latent = latent_size(spec, latent, 100)
    bounded = spec.levels is not None
    return Dcgan(
        discriminator(spec.shape, channels=channels, classes=classes),
        generator(spec.shape, channels=channels, latent=latent, bounded=bounded, classes=classes),
        latent=latent,
        classes=classes,
        learning_rate=learning_rate,
        decay=decay,
    )


class Dcgan(nn.Module):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self,
        discriminator: nn.Module,
        generator: nn.Module,
        *,
        latent: int,
        classes: int,
        learning_rate: float,
        decay: Decay,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"discriminator": discriminator, "generator": generator})
        self.noise_shape = (latent,)
        self.conditions = conditions_of(classes)
        self.settle = Standing(latent, classes)
        self.learning_rate = learning_rate
        self.decay = decay

    def optimization(self, player: str) -> Optimization:
        """Adam with β₁ 0.5 (section 4), for both players."""
        return Optimization(
            partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.5, 0.999), fused=True),
            decaying(self.decay),
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The non-saturating game: the discriminator's turn, then the generator's, on the same
        generated samples, of the labels of the real ones.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator tells rightly.
        """
        real, labels = batch.data, labels_of(batch.condition, self.conditions)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        loss = LOSSES["non-saturating"]
        fake = generator(torch.randn(len(real), *self.noise_shape, device=real.device), labels)

        logits_real, logits_fake = discriminator(real, fake.detach(), labels=labels)
        yield PlayerStep(
            "discriminator",
            loss.discriminator(logits_real, logits_fake),
            accuracies(logits_real, logits_fake),
        )

        with frozen(discriminator):
            (logits_fake,) = discriminator(fake, labels=labels)
        yield PlayerStep("generator", loss.generator(logits_fake))

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``, of the condition's labels
        where the model is conditional."""
        self.settle(self.players["generator"])
        samples: Tensor = self.players["generator"](noise, labels_of(condition, self.conditions))
        return samples
