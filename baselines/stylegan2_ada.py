"""StyleGAN2 with adaptive discriminator augmentation (Karras et al. 2020, "Analyzing and improving
the image quality of StyleGAN"; Karras et al. 2020, "Training generative adversarial networks with
limited data").

The published CIFAR-10 configuration (appendix D of the latter; FID 2.42 with labels) is ``channels
= 512, latent = 512, residual = false, group = 32, r1 = 0.01``, and otherwise the defaults: 20.2 M
parameters in the generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from baselines.adversarial import LOSSES, TWICE, TwoPlayers, accuracies, frozen
from baselines.augmentation import AdaptiveProbability, augment, over_ranks
from baselines.conditioning import class_count, labels_of
from baselines.networks.pyramid import PyramidOptions, sizes
from baselines.networks.stylegan2 import Augment, Discriminator, Generator
from baselines.optimizers import RateOptions
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError

R1_INTERVAL = 16
PATH_INTERVAL = 4
INTERVALS = {"discriminator": R1_INTERVAL, "generator": PATH_INTERVAL}
"""Steps from one regularisation of a player to the next, each weighted by as much (Karras et al.
2020, "Analyzing and improving", section 3.1)."""
PATH_DECAY = 0.01
"""Of the running mean of path lengths, a regularisation."""

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class GameOptions:
    """Penalties and augmentation."""

    r1: NonNegativeFloat = 0.1
    """γ of the gradient penalty R1 (Mescheder et al. 2018, eq. 9), every 16 steps; 0: none. The
    published heuristic is 0.0002 × pixels / batch."""
    path_length: NonNegativeFloat = 0.0
    """Weight of the regularisation of path lengths, every 4 steps; 2 as published for faces, 0 for
    none."""
    mixing: Share = 0.0
    """The share of generated samples that two latents make; 0.9 as published for faces."""
    augment: Literal["ada", "none"] = "ada"
    ada_target: Share = 0.6
    """The share of real samples taken for real, less the share taken for generated, at which p
    stands still."""
    ada_examples: PositiveInt = 500_000
    """Examples in which p can rise by 1."""


def stylegan2_ada(
    spec: SampleSpec,
    *,
    network: PyramidOptions = PyramidOptions(),
    mapping_layers: PositiveInt = 2,
    residual: bool = True,
    group: PositiveInt = 4,
    game: GameOptions = GameOptions(),
    rate: RateOptions = RateOptions(2.5e-3, "none"),
) -> StyleGan2Ada:
    """StyleGAN2 with adaptive augmentation, for signals of 1 to 3 sides.

    Args:
        spec: Sides are halved together, down to 4 or the first odd one; 16 at most may be left.
        network: ``latent`` are the dimensions of z and of w.
        mapping_layers: From z to w; 8 for pictures of faces.
        residual: Whether the discriminator's blocks have shortcuts.
        group: Samples over which it sees the standard deviation.
        game: See ``GameOptions``.
        rate: Before the correction for lazy regularisation; the published one does not decay.

    Raises:
        UsageError: Points, sides that do not fit, ``conditional`` without labels.
    """
    features, *space = spec.shape
    if not space:
        raise UsageError("stylegan2-ada is for signals with sides, and the samples are points")
    levels = sizes("stylegan2-ada", tuple(space))
    widths = network.widths(len(levels))
    classes = class_count(spec, conditional=network.conditional)
    judge = Discriminator(features, levels, widths, residual=residual, group=group, classes=classes)
    maker = Generator(
        features,
        levels,
        widths,
        latent=network.latent,
        mapping_layers=mapping_layers,
        classes=classes,
    )
    players = {"discriminator": judge, "generator": maker}
    return StyleGan2Ada(players, game, rate, latent=network.latent, classes=classes)


class StyleGan2Ada(TwoPlayers):
    """Two players; every few steps, each has one more turn for its regularisation."""

    path_mean: Tensor

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        game: GameOptions,
        rate: RateOptions,
        *,
        latent: int,
        classes: int,
    ) -> None:
        super().__init__(players, latent=latent, classes=classes)
        self.game = game
        self.rate = rate
        self.eager_only = TWICE if game.r1 > 0 or game.path_length > 0 else ""
        self.ada = None
        if game.augment == "ada":
            self.ada = AdaptiveProbability(target=game.ada_target, examples=game.ada_examples)
        self.register_buffer("path_mean", torch.zeros(()))

    def optimization(self, player: str) -> Optimization:
        """Adam with β = (0, 0.99), corrected for lazy regularisation: of k + 1 steps that make k,
        each is c = k / (k + 1) of one, so the learning rate is c times as high and β is βᶜ. As in
        the published code, whether or not the player is regularised."""
        interval = INTERVALS[player]
        correction = interval / (interval + 1)
        rate = RateOptions(correction * self.rate.learning_rate, self.rate.decay)
        return rate.adam((0.0, 0.99**correction))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The discriminator's turns, then the generator's, on the same generated samples, where
        the authors' code draws new latents and labels for the second.

        Diagnostics: ``accuracy_real`` and ``accuracy_fake``; ``augmentation``, p; ``r1`` and
        ``path_length``, the penalties before their weights for being lazy.
        """
        real, labels = batch.data, self.training_labels(batch)
        discriminator, generator = self.players["discriminator"], self.players["generator"]
        augment = self.transform()
        # The generator does not move before its own turn, so one forward pass serves both turns.
        fake, _ = generator(self.noise(len(real), real.device), labels, mixing=self.game.mixing)

        (logits_real, logits_fake), _ = discriminator(
            real, fake.detach(), labels=labels, augment=augment
        )
        diagnostics = accuracies(logits_real, logits_fake)
        if self.ada is not None:
            diagnostics["augmentation"] = self.ada.p.clone()
        loss = LOSSES["non-saturating"]
        yield PlayerStep("discriminator", loss.discriminator(logits_real, logits_fake), diagnostics)
        if self.game.r1 > 0 and progress.step % R1_INTERVAL == 0:
            yield self._r1_turn(real, labels, augment)

        with frozen(discriminator):
            (logits_fake,), _ = discriminator(fake, labels=labels, augment=augment)
        yield PlayerStep("generator", loss.generator(logits_fake))
        if self.game.path_length > 0 and progress.step % PATH_INTERVAL == 0:
            yield self.path_turn(real, labels)

        if self.ada is not None:
            self.ada.update(logits_real, progress.step)

    def sample(self, noise: Tensor, condition: Condition, *, truncation: Share = 1.0) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``.

        ``truncation`` is ψ: how far each w is let go from their mean; 1 leaves it alone.
        """
        samples: Tensor
        samples, _ = self.players["generator"](
            noise, labels_of(condition, self.conditions), truncation=truncation
        )
        return samples

    def _r1_turn(self, real: Tensor, labels: Tensor | None, augment: Augment | None) -> PlayerStep:
        """The gradient with respect to the samples before their augmentation, as in the code."""
        logits, squared_norm = self.players["discriminator"](
            real, labels=labels, augment=augment, penalty=True
        )
        r1 = self.game.r1 / 2 * squared_norm.mean()
        return PlayerStep("discriminator", R1_INTERVAL * r1 + _nothing(logits), {"r1": r1.detach()})

    def path_turn(self, real: Tensor, labels: Tensor | None) -> PlayerStep:
        """(‖J_wᵀ y‖ - a)², where a is its running mean, for half a minibatch (appendix B)."""
        count = max(len(real) // 2, 1)
        samples, lengths = self.players["generator"](
            self.noise(count, real.device),
            None if labels is None else labels[:count],
            mixing=self.game.mixing,
            path_lengths=True,
        )
        own = lengths.mean()
        mean = over_ranks(own.detach()).to(self.path_mean)
        self.path_mean.lerp_(mean, PATH_DECAY)
        # The mean is of these lengths too, by a share, and the authors' gradient goes through it;
        # written so that the ranks' gradients average to that of the whole minibatch.
        through = -2 * PATH_DECAY * (mean - self.path_mean) * (own - own.detach())
        penalty = self.game.path_length * ((lengths - self.path_mean).square().mean() + through)
        loss = PATH_INTERVAL * penalty + _nothing(samples)
        return PlayerStep("generator", loss, {"path_length": penalty.detach()})

    def transform(self) -> Augment | None:
        """What the discriminator's samples go through now."""
        return None if self.ada is None else partial(augment, p=self.ada.p)


def _nothing(outputs: Tensor) -> Tensor:
    """0, as a function of every parameter: DDP waits for a gradient of each, and a penalty does not
    depend on the last bias, for example."""
    return 0 * outputs.mean()
