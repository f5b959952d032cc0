"""WGAN-GP: Wasserstein GANs with a gradient penalty (Gulrajani et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.adversarial import LOSSES, frozen, generator_moves, latent_size
from baselines.labels import class_count, conditions_of, labels_of
from baselines.networks.batch_norm import Standing
from baselines.networks.resnet_gan import discriminator, generator
from baselines.optimizers import Decay, decaying
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec


def wgan_gp(
    spec: SampleSpec,
    *,
    channels: PositiveInt = 32,
    latent: PositiveInt | None = None,
    penalty: NonNegativeFloat | None = None,
    n_critic: PositiveInt = 5,
    generator_batch: PositiveInt = 2,
    learning_rate: PositiveFloat = 3e-3,
    decay: Decay = "linear",
    conditional: bool = False,
) -> WganGp:
    """WGAN-GP: a critic held to slope 1; the paper's ResNet for CIFAR-10, an MLP for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, even and at least 4, or points.
        channels: Width of both networks (128 in the paper); an eighth of an MLP's.
        latent: Dimensions of the generator's noise; by default the paper's 128, or as many as a
            point has.
        penalty: λ, the weight of the gradient penalty (eq. 3); by default the paper's 10, or for
            points the 0.1 of the authors' code.
        n_critic: Turns of the critic, each with its own real samples, to one of the generator.
        generator_batch: Samples in the generator's turn, over those in the critic's (2 in the
            authors' code).
        learning_rate: Of both players at the start; 2e-4 in the paper, for longer trainings.
        decay: How it falls.
        conditional: On labels: the generator's normalisation (Dumoulin et al. 2017), as in the
            authors' code, and a projection in the critic (Miyato & Koyama 2018) in the place of
            their auxiliary classifier.

    Raises:
        UsageError: Sides that cannot be halved, labels that are not there.
    """
    classes = class_count(spec, conditional=conditional)
    latent = latent_size(spec, latent, 128)
    if penalty is None:
        penalty = 0.1 if len(spec.shape) == 1 else 10.0
    bounded = spec.levels is not None
    return WganGp(
        discriminator(spec.shape, channels=channels, classes=classes, pool="mean", bias=True),
        generator(spec.shape, channels=channels, latent=latent, bounded=bounded, classes=classes),
        latent=latent,
        classes=classes,
        penalty=penalty,
        n_critic=n_critic,
        generator_batch=generator_batch,
        learning_rate=learning_rate,
        decay=decay,
    )


class WganGp(nn.Module):
    """A critic that moves at every step, and a generator that moves at each ``n_critic``-th."""

    def __init__(
        self,
        critic: nn.Module,
        generator: nn.Module,
        *,
        latent: int,
        classes: int,
        penalty: float,
        n_critic: int,
        generator_batch: int,
        learning_rate: float,
        decay: Decay,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"critic": critic, "generator": generator})
        self.noise_shape = (latent,)
        self.conditions = conditions_of(classes)
        self.settle = Standing(latent, classes)
        self.penalty = penalty
        self.n_critic = n_critic
        self.generator_batch = generator_batch
        self.learning_rate = learning_rate
        self.decay = decay

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum, β₂ 0.9 (appendix F), for both players."""
        return Optimization(
            partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.0, 0.9), fused=True),
            decaying(self.decay),
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The critic's turn and, where it is due, the generator's, on samples of its own (algorithm
        1). Generated samples have the labels of the real ones.

        Diagnostics of the critic: ``distance``, how much higher it rates real samples, an estimate
        of the Wasserstein distance; ``penalty``, its weight included.
        """
        real, labels = batch.data, labels_of(batch.condition, self.conditions)
        critic, generator = self.players["critic"], self.players["generator"]
        loss = LOSSES["wasserstein"]

        with torch.no_grad():
            fake = generator(torch.randn(len(real), *self.noise_shape, device=real.device), labels)
        (logits_real, logits_fake), slopes = critic(
            real, fake, labels=labels, slopes=self.penalty > 0
        )
        distance = loss.discriminator(logits_real, logits_fake)
        penalty = self.penalty * (slopes - 1).square().sum() / len(real)
        diagnostics = {"distance": -distance.detach(), "penalty": penalty.detach()}
        yield PlayerStep("critic", distance + penalty, diagnostics)

        if generator_moves(progress, self.n_critic):
            if labels is not None:
                labels = labels.repeat(self.generator_batch)
            rows = self.generator_batch * len(real)
            fake = generator(torch.randn(rows, *self.noise_shape, device=real.device), labels)
            with frozen(critic):
                (logits_fake,), _ = critic(fake, labels=labels)
            yield PlayerStep("generator", loss.generator(logits_fake))

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``, of the condition's labels
        where the model is conditional."""
        self.settle(self.players["generator"])
        samples: Tensor = self.players["generator"](noise, labels_of(condition, self.conditions))
        return samples
