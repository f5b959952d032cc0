"""DCGAN: deep convolutional generative adversarial networks (Radford, Metz & Chintala 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from baselines.adversarial import LOSSES, LatentOptions, TwoPlayers, accuracies, frozen
from baselines.networks.dcgan import discriminator, generator
from baselines.optimizers import RateOptions
from genbench.api import Batch, Optimization, PlayerStep, Progress, SampleSpec


def dcgan(
    spec: SampleSpec,
    *,
    network: LatentOptions = LatentOptions(channels=64),
    rate: RateOptions = RateOptions(learning_rate=1e-3),
) -> Dcgan:
    """DCGAN: strided convolutions and batch normalisation; an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, even and at least 4, or points.
        network: ``channels`` is the width at half size, doubled with each halving (128 in the
            paper, for 64×64); an eighth of an MLP's. ``latent`` is the paper's 100 by default.
            Labels come beside what either network takes (Mirza & Osindero 2014).
        rate: 2e-4 in the paper, for longer trainings, with ``decay = "none"``.

    Raises:
        UsageError: Sides that cannot be halved, ``conditional`` without labels.
    """
    sizes = network.sizes(spec, usual=100)
    latent, classes = sizes["latent"], sizes["classes"]
    judge = discriminator(spec.shape, channels=network.channels, classes=classes)
    maker = generator(spec.shape, channels=network.channels, **sizes)
    players = {"discriminator": judge, "generator": maker}
    return Dcgan(players, rate, latent=latent, classes=classes)


class Dcgan(TwoPlayers):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self, players: Mapping[str, nn.Module], rate: RateOptions, *, latent: int, classes: int
    ) -> None:
        super().__init__(players, latent=latent, classes=classes)
        self.rate = rate

    def optimization(self, player: str) -> Optimization:
        """Adam with β₁ 0.5 (section 4), for both players."""
        return self.rate.adam((0.5, 0.999))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The non-saturating game: the discriminator's turn, then the generator's, on the same
        generated samples, of the labels of the real ones.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator recognises.
        """
        real, labels = batch.data, self.training_labels(batch)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        loss = LOSSES["non-saturating"]
        fake = generator(self.noise(len(real), real.device), labels)

        logits_real, logits_fake = discriminator(real, fake.detach(), labels=labels)
        yield PlayerStep(
            "discriminator",
            loss.discriminator(logits_real, logits_fake),
            accuracies(logits_real, logits_fake),
        )

        with frozen(discriminator):
            (logits_fake,) = discriminator(fake, labels=labels)
        yield PlayerStep("generator", loss.generator(logits_fake))
