"""WGAN-GP: Wasserstein GANs with a gradient penalty (Gulrajani et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from pydantic import NonNegativeFloat
from torch import nn

from baselines.adversarial import LOSSES, TWICE, CriticGame, CriticOptions, LatentOptions
from baselines.networks.resnet_gan import discriminator, generator
from baselines.optimizers import RateOptions
from genbench.api import Batch, PlayerStep, Progress, SampleSpec


def wgan_gp(
    spec: SampleSpec,
    *,
    network: LatentOptions = LatentOptions(channels=32),
    penalty: NonNegativeFloat | None = None,
    turns: CriticOptions = CriticOptions(n_critic=5, generator_batch=2),
    rate: RateOptions = RateOptions(learning_rate=3e-3),
) -> WganGp:
    """WGAN-GP: a critic held to slope 1; the paper's ResNet for CIFAR-10, an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, even and at least 4, or points.
        network: ``channels`` is the width of both networks (128 in the paper); an eighth of an
            MLP's. ``latent`` is the paper's 128 by default. Labels decide the generator's
            normalisation (Dumoulin et al. 2017), as in the authors' code, and a projection in the
            critic (Miyato & Koyama 2018) in the place of their auxiliary classifier.
        penalty: λ, the weight of the gradient penalty (eq. 3); by default the paper's 10, or for
            points the 0.1 of the authors' code.
        turns: As in the paper by default.
        rate: 2e-4 in the paper, for longer trainings.

    Raises:
        UsageError: Sides that cannot be halved, ``conditional`` without labels.
    """
    sizes = network.sizes(spec, usual=128)
    latent, classes = sizes["latent"], sizes["classes"]
    if penalty is None:
        penalty = 0.1 if len(spec.shape) == 1 else 10.0
    critic = discriminator(
        spec.shape, channels=network.channels, classes=classes, pool="mean", bias=True
    )
    maker = generator(spec.shape, channels=network.channels, **sizes)
    players = {"critic": critic, "generator": maker}
    return WganGp(players, penalty, latent=latent, classes=classes, turns=turns, rate=rate)


class WganGp(CriticGame):
    """The game with the Wasserstein loss and a gradient penalty."""

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        penalty: float,
        *,
        latent: int,
        classes: int,
        turns: CriticOptions,
        rate: RateOptions,
    ) -> None:
        super().__init__(players, latent=latent, classes=classes, turns=turns, rate=rate)
        self.penalty = penalty
        self.eager_only = TWICE if penalty > 0 else ""

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The critic's turn and, if it is due, the generator's, on samples of its own (algorithm
        1). Generated samples have the labels of the real ones.

        Diagnostics of the critic: ``distance``, how much higher it rates real samples, an estimate
        of the Wasserstein distance; ``penalty``, its weight included.
        """
        real, labels = batch.data, self.training_labels(batch)
        critic, generator = self.players["critic"], self.players["generator"]
        loss = LOSSES["wasserstein"]

        with torch.no_grad():
            fake = generator(self.noise(len(real), real.device), labels)
        (logits_real, logits_fake), slopes = critic(
            real, fake, labels=labels, slopes=self.penalty > 0
        )
        distance = loss.discriminator(logits_real, logits_fake)
        penalty = self.penalty * (slopes - 1).square().sum() / len(real)
        diagnostics = {"distance": -distance.detach(), "penalty": penalty.detach()}
        yield PlayerStep("critic", distance + penalty, diagnostics)
        yield from self.generator_turn(critic, loss, batch, progress)
