"""SNGAN: spectral normalisation for generative adversarial networks (Miyato et al. 2018), and their
projection discriminator where there are labels (Miyato & Koyama 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.adversarial import LOSSES, accuracies, frozen, generator_moves, latent_size
from baselines.labels import class_count, conditions_of, labels_of
from baselines.networks.batch_norm import Standing
from baselines.networks.resnet_gan import discriminator, generator
from baselines.networks.spectral_norm import normalise_spectra
from baselines.optimizers import Decay, decaying
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec


def sngan(
    spec: SampleSpec,
    *,
    channels: PositiveInt = 32,
    latent: PositiveInt | None = None,
    n_critic: PositiveInt = 1,
    generator_batch: PositiveInt = 1,
    learning_rate: PositiveFloat = 1e-3,
    decay: Decay = "linear",
    conditional: bool = False,
) -> Sngan:
    """SNGAN: a discriminator whose layers have norm 1; the paper's ResNet, an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, even and at least 4, or points.
        channels: Width of the discriminator, half of the generator's (128 and 256 in the paper, for
            CIFAR-10); an eighth of an MLP's.
        latent: Dimensions of the generator's noise; by default the paper's 128, or as many as a
            point has.
        n_critic: Turns of the discriminator, each with its own real samples, to one of the
            generator; 5 in the paper, for longer trainings.
        generator_batch: Samples in the generator's turn, over those in the discriminator's (2 in
            the authors' code).
        learning_rate: Of both players at the start; 2e-4 in the paper.
        decay: How it falls.
        conditional: On labels: the generator's normalisation and a projection in the discriminator
            (Miyato & Koyama 2018).

    Raises:
        UsageError: Sides that cannot be halved, labels that are not there.
    """
    classes = class_count(spec, conditional=conditional)
    latent = latent_size(spec, latent, 128)
    judge = discriminator(spec.shape, channels=channels, classes=classes, pool="sum", bias=False)
    # The norms of an MLP's layers leave it too flat to tell points apart: its last is free, as with
    # the γ of appendix E.
    normalise_spectra(judge if len(spec.shape) > 1 else judge.trunk)
    return Sngan(
        judge,
        generator(
            spec.shape,
            channels=2 * channels,
            latent=latent,
            bounded=spec.levels is not None,
            classes=classes,
        ),
        latent=latent,
        classes=classes,
        n_critic=n_critic,
        generator_batch=generator_batch,
        learning_rate=learning_rate,
        decay=decay,
    )


class Sngan(nn.Module):
    """A discriminator that moves at every step, and a generator at each ``n_critic``-th."""

    def __init__(
        self,
        discriminator: nn.Module,
        generator: nn.Module,
        *,
        latent: int,
        classes: int,
        n_critic: int,
        generator_batch: int,
        learning_rate: float,
        decay: Decay,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"discriminator": discriminator, "generator": generator})
        self.noise_shape = (latent,)
        self.conditions = conditions_of(classes)
        self.settle = Standing(latent, classes)
        self.n_critic = n_critic
        self.generator_batch = generator_batch
        self.learning_rate = learning_rate
        self.decay = decay

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum, β₂ 0.9 (section 4, setting C), for both players."""
        return Optimization(
            partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.0, 0.9), fused=True),
            decaying(self.decay),
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """By the hinge loss, the discriminator's turn and, where it is due, the generator's, on
        samples of its own. Generated samples have the labels of the real ones.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator tells rightly.
        """
        real, labels = batch.data, labels_of(batch.condition, self.conditions)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        loss = LOSSES["hinge"]

        with torch.no_grad():
            fake = generator(torch.randn(len(real), *self.noise_shape, device=real.device), labels)
        (logits_real, logits_fake), _ = discriminator(real, fake, labels=labels)
        yield PlayerStep(
            "discriminator",
            loss.discriminator(logits_real, logits_fake),
            accuracies(logits_real, logits_fake),
        )

        if generator_moves(progress, self.n_critic):
            if labels is not None:
                labels = labels.repeat(self.generator_batch)
            rows = self.generator_batch * len(real)
            fake = generator(torch.randn(rows, *self.noise_shape, device=real.device), labels)
            with frozen(discriminator):
                (logits_fake,), _ = discriminator(fake, labels=labels)
            yield PlayerStep("generator", loss.generator(logits_fake))

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``, of the condition's labels
        where the model is conditional."""
        self.settle(self.players["generator"])
        samples: Tensor = self.players["generator"](noise, labels_of(condition, self.conditions))
        return samples
