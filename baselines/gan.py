"""A generative adversarial network (Goodfellow et al. 2014) with the regularisers of its field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from baselines.adversarial import LOSSES, TWICE, LatentOptions, TwoPlayers, accuracies, frozen
from baselines.networks.gan import discriminator, generator
from baselines.optimizers import RateOptions
from genbench.api import Batch, Optimization, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError


@dataclass(frozen=True)
class GanOptions:
    """The game of ``gan``."""

    loss: Literal["non-saturating", "hinge"] = "non-saturating"
    """Goodfellow et al. 2014, section 3, or Lim & Ye 2017."""
    r1: NonNegativeFloat = 1.0
    """γ of the gradient penalty R1 (Mescheder et al. 2018, eq. 9); 0 for none."""
    r1_interval: PositiveInt = 4
    """Steps from one penalty to the next, each weighted by as much (Karras et al. 2020, section
    3.1)."""
    learning_rate: PositiveFloat = 3e-3
    """Of both players at the start; falls to 0 along half a cosine."""


def gan(
    spec: SampleSpec,
    *,
    network: LatentOptions = LatentOptions(channels=16, latent=16),
    spectral_norm: bool = False,
    game: GanOptions = GanOptions(),
) -> Gan:
    """A convolutional ResNet GAN; an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides divisible by 4, or points.
        network: ``channels`` is the width at full size, doubled at each halving up to fourfold; an
            eighth of an MLP's. ``latent``: for points, try as few as they have dimensions. Labels
            come beside the noise (Mirza & Osindero 2014), and are projected on the discriminator's
            features (Miyato & Koyama 2018).
        spectral_norm: Of every layer of the discriminator (Miyato et al. 2018).
        game: The loss, the penalty and the learning rate.

    Raises:
        UsageError: More than 3 sides, a side that is not divisible by 4, ``conditional`` without
            labels.
    """
    _, *space = spec.shape
    if len(space) > 3 or any(side % 4 for side in space):
        raise UsageError(f"gan needs at most 3 sides, divisible by 4; the samples are {spec.shape}")
    sizes = network.sizes(spec, usual=16)
    latent, classes = sizes["latent"], sizes["classes"]
    judge = discriminator(
        spec.shape, channels=network.channels, spectral_norm=spectral_norm, classes=classes
    )
    maker = generator(spec.shape, channels=network.channels, **sizes)
    return Gan(judge, maker, latent=latent, classes=classes, game=game)


class Gan(TwoPlayers):
    """Two players; each step, the discriminator moves, and the generator answers."""

    def __init__(
        self,
        discriminator: nn.Module,
        generator: nn.Module,
        *,
        latent: int,
        classes: int,
        game: GanOptions,
    ) -> None:
        players = {"discriminator": discriminator, "generator": generator}
        super().__init__(players, latent=latent, classes=classes)
        self.game = game
        self.eager_only = TWICE if game.r1 > 0 else ""
        self.loss = LOSSES[game.loss]

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum (Karras et al. 2018, A.1), cosine decay, for both players."""
        return RateOptions(self.game.learning_rate, "cosine").adam((0.0, 0.99))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turn, then the generator's, on the same generated samples.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``, the share of samples that the
        discriminator recognises; ``r1``, the penalty before its weight for lazy regularisation,
        on the steps that apply it.
        """
        real, labels = batch.data, self.training_labels(batch)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        # The generator does not move before its own turn, so one forward pass serves both turns.
        fake = generator(self.noise(len(real), real.device), labels)

        penalized = self.game.r1 > 0 and progress.step % self.game.r1_interval == 0
        (logits_real, logits_fake), squared_norm = discriminator(
            real, fake.detach(), labels=labels, penalty=penalized
        )
        loss = self.loss.discriminator(logits_real, logits_fake)
        diagnostics = accuracies(logits_real, logits_fake)
        if penalized:
            r1 = self.game.r1 / 2 * squared_norm.mean()
            # Part of the same step, so that Adam's constants need no correction for the interval.
            loss = loss + self.game.r1_interval * r1
            diagnostics["r1"] = r1.detach()
        yield PlayerStep("discriminator", loss, diagnostics)

        with frozen(discriminator):
            (logits_fake,), _ = discriminator(fake, labels=labels)
        yield PlayerStep("generator", self.loss.generator(logits_fake))
