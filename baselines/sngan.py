"""SNGAN: spectral normalisation for generative adversarial networks (Miyato et al. 2018), and their
projection discriminator for conditional models (Miyato & Koyama 2018)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from baselines.adversarial import LOSSES, CriticGame, CriticOptions, LatentOptions, accuracies
from baselines.networks.resnet_gan import discriminator, generator
from baselines.networks.spectral_norm import normalise_spectra
from baselines.optimizers import RateOptions
from genbench.api import Batch, PlayerStep, Progress, SampleSpec


def sngan(
    spec: SampleSpec,
    *,
    network: LatentOptions = LatentOptions(channels=32),
    turns: CriticOptions = CriticOptions(n_critic=1, generator_batch=1),
    rate: RateOptions = RateOptions(learning_rate=1e-3),
) -> Sngan:
    """SNGAN: a discriminator whose layers have norm 1; the paper's ResNet, an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, even and at least 4, or points.
        network: ``channels`` is the width of the discriminator, half of the generator's (128 and
            256 in the paper, for CIFAR-10); an eighth of an MLP's. ``latent`` is the paper's 128 by
            default. Labels decide the generator's normalisation and a projection in the
            discriminator (Miyato & Koyama 2018).
        turns: 5 of the discriminator in the paper, for longer trainings.
        rate: 2e-4 in the paper.

    Raises:
        UsageError: Sides that cannot be halved, ``conditional`` without labels.
    """
    sizes = network.sizes(spec, usual=128)
    latent, classes = sizes["latent"], sizes["classes"]
    judge = discriminator(
        spec.shape, channels=network.channels, classes=classes, pool="sum", bias=False
    )
    # The norms of an MLP's layers leave it too flat to tell points apart: its last is free, as with
    # the γ of appendix E.
    normalise_spectra(judge if len(spec.shape) > 1 else judge.trunk)
    maker = generator(spec.shape, channels=2 * network.channels, **sizes)
    players = {"discriminator": judge, "generator": maker}
    return Sngan(players, latent=latent, classes=classes, turns=turns, rate=rate)


class Sngan(CriticGame):
    """The game with the hinge loss."""

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turn and, if it is due, the generator's, on samples of its own.
        Generated samples have the labels of the real ones.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator recognises.
        """
        real, labels = batch.data, self.training_labels(batch)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        loss = LOSSES["hinge"]

        with torch.no_grad():
            fake = generator(self.noise(len(real), real.device), labels)
        (logits_real, logits_fake), _ = discriminator(real, fake, labels=labels)
        yield PlayerStep(
            "discriminator",
            loss.discriminator(logits_real, logits_fake),
            accuracies(logits_real, logits_fake),
        )
        yield from self.generator_turn(discriminator, loss, batch, progress)
