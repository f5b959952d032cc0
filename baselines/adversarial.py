"""What the adversarial contestants share: options, players, losses, penalties, labels.

======================  ========================================================================
``LatentOptions``       options of networks that begin with noise, the VAE's included
``TwoPlayers``          a model of a discriminator (or critic) and a generator
``CriticGame``          the same, with more turns of the critic than of the generator
``Loss``, ``LOSSES``    what each player descends, given logits
``relativistic``        a loss that compares real with generated samples in pairs
``input_gradient``      logits, and their gradient with respect to the samples, for any penalty
``squared_norms``       of such gradients, one a sample: R1 and R2 are their means
``TWICE``               why a penalty on such gradients keeps a model from being compiled
``frozen``              a network through which gradients pass, and which does not learn
``accuracies``          diagnostics of a discriminator's turn
``append_labels``       one-hot labels beside whatever a network takes
======================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import one_hot, relu, softplus

from baselines.conditioning import class_count, conditions_of, labels_of
from baselines.networks.batch_norm import StandingStatistics
from baselines.optimizers import RateOptions
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec

TWICE = "its penalty on a gradient is differentiated again, which torch.compile does not support"
"""``eager_only`` of a model with such a penalty."""


@dataclass(frozen=True)
class Loss:
    """What each player descends, as a function of logits ``(B,)``: positive means real."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Of the logits of real and of generated samples."""
    generator: Callable[[Tensor], Tensor]
    """Of the logits of generated samples."""


LOSSES: Mapping[str, Loss] = {
    # Goodfellow et al. (2014), section 3: softplus(-l) = -log D and softplus(l) = -log(1 - D), for
    # D = sigmoid(l).
    "non-saturating": Loss(
        lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        lambda fake: softplus(-fake).mean(),
    ),
    # Lim & Ye (2017); Miyato et al. (2018), eqs. 16 and 17.
    "hinge": Loss(
        lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    ),
    # Arjovsky et al. (2017), eq. 2: the critic's difference, which bounds a distance only where
    # something holds the critic's slope.
    "wasserstein": Loss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake: -fake.mean(),
    ),
}


def relativistic(logits: Tensor, others: Tensor) -> Tensor:
    """The relativistic pairing loss (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2).

    The discriminator descends it for the logits ``(B,)`` of real samples and, as ``others``, those
    of generated ones; the generator descends it with the two exchanged.
    """
    return softplus(others - logits).mean()


def input_gradient(
    logits_of: Callable[[Tensor], Tensor], x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``logits_of(x)`` and the gradient of their sum with respect to x ``(B, *shape)``, float32.

    Both can be differentiated by the weights, in whose ``dtype`` they are computed. Autocast is
    off, since the squares of small numbers suffer most from a lower precision. A discriminator
    calls this inside its own ``forward``: in a loss, the gradient would pass through the hooks of
    a wrapper, which fails under DDP and under Fabric's mixed precision.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().to(dtype).requires_grad_()
        # A view, since what counts FLOPs hooks the inputs of modules, and cannot hook a leaf here.
        logits = logits_of(x.view_as(x))
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return logits, gradient.float()


def squared_norms(gradient: Tensor) -> Tensor:
    """``(B, *shape)`` to ``(B,)``: ‖∇D(x)‖², of which γ/2 times the mean is R1 over real samples,
    R2 over generated ones (Mescheder et al. 2018, eqs. 9 and 10)."""
    return gradient.square().flatten(1).sum(1)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Graphs recorded inside pass through ``network`` and leave its parameters out.

    Only the recording counts, so the parameters are free again before the backward pass. This is
    correct under DDP too: DDP prepares its reducer at each forward pass, and complains only about a
    backward pass that reached *some* of the parameters. Here it reaches none, so nothing is
    reduced, and the next forward pass prepares the reducer again. (Gradients of the parameters
    would do no harm, but would be computed, and under DDP communicated, for nothing.)
    """
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def accuracies(real: Tensor, fake: Tensor) -> dict[str, float | Tensor]:
    """``accuracy_real`` and ``accuracy_fake``: the share of logits ``(B,)`` of the right sign."""
    return {
        "accuracy_real": (real > 0).float().mean(),
        "accuracy_fake": (fake < 0).float().mean(),
    }


class Sizes(TypedDict):
    """Arguments that all networks from noise to samples take."""

    latent: int
    bounded: bool
    """Whether samples are in [-1, 1]."""
    classes: int


@dataclass(frozen=True)
class LatentOptions:
    """Options of a generator and of the network that is trained with it."""

    channels: PositiveInt
    """Width of the networks."""
    latent: PositiveInt | None = None
    """Dimensions of the noise; by default the paper's, or as many as a point has."""
    conditional: bool = False
    """Whether the networks are conditioned on the labels."""

    def sizes(self, spec: SampleSpec, *, usual: int) -> Sizes:
        """The networks' arguments. ``usual`` is the default of ``latent``, but for points, whose
        networks would have to fold away more dimensions than a point has.

        Raises:
            UsageError: The model is conditional, and ``spec`` has no labels.
        """
        default = spec.shape[0] if len(spec.shape) == 1 else usual
        classes = class_count(spec, conditional=self.conditional)
        return {
            "latent": self.latent or default,
            "bounded": spec.levels is not None,
            "classes": classes,
        }


class TwoPlayers(nn.Module):
    """A discriminator (or critic) and a generator. A subclass adds ``optimization``, ``losses``."""

    def __init__(self, players: Mapping[str, nn.Module], *, latent: int, classes: int) -> None:
        super().__init__()
        self.players = nn.ModuleDict(players)
        self.noise_shape = (latent,)
        self.conditions = conditions_of(classes)
        self.standing = StandingStatistics(latent, classes)

    def noise(self, count: int, device: torch.device) -> Tensor:
        return torch.randn(count, *self.noise_shape, device=device)

    def training_labels(self, batch: Batch) -> Tensor | None:
        """The labels ``(B,)`` of a training batch, which count for the standing statistics; of an
        unconditional model, none."""
        labels = labels_of(batch.condition, self.conditions)
        if labels is not None:
            self.standing.count(labels)
        return labels

    def sample(self, noise: Tensor, condition: Condition) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``, with the condition's labels
        if the model is conditional."""
        self.standing(self.players["generator"])
        samples: Tensor = self.players["generator"](noise, labels_of(condition, self.conditions))
        return samples


@dataclass(frozen=True)
class CriticOptions:
    """Options of a game in which the critic may have more turns than the generator."""

    n_critic: PositiveInt
    """Turns of the critic, each with its own real samples, to one turn of the generator. The
    examples of a training are the critic's."""
    generator_batch: PositiveInt
    """Samples in the generator's turn, over those in the critic's; 2 in the authors' codes."""


class CriticGame(TwoPlayers):
    """A critic that moves at every step, and a generator that moves at each ``n_critic``-th."""

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        *,
        latent: int,
        classes: int,
        turns: CriticOptions,
        rate: RateOptions,
    ) -> None:
        super().__init__(players, latent=latent, classes=classes)
        self.turns = turns
        self.rate = rate

    def optimization(self, player: str) -> Optimization:
        """Adam without momentum, β₂ 0.9, for both players (Gulrajani et al. 2017, appendix F;
        Miyato et al. 2018, section 4, setting C)."""
        return self.rate.adam((0.0, 0.9))

    def generator_turn(
        self, critic: nn.Module, loss: Loss, batch: Batch, progress: Progress
    ) -> Iterator[PlayerStep]:
        """The generator's turn if it is due, on new samples that have the labels of the real ones.

        It is due after ``n_critic`` turns of the critic.
        """
        if (progress.step + 1) % self.turns.n_critic:
            return
        labels, times = labels_of(batch.condition, self.conditions), self.turns.generator_batch
        if labels is not None:
            labels = labels.repeat(times)
        noise = self.noise(times * len(batch.data), batch.data.device)
        fake = self.players["generator"](noise, labels)
        with frozen(critic):
            (logits,), _ = critic(fake, labels=labels)
        yield PlayerStep("generator", loss.generator(logits))


def append_labels(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """x ``(B, F, *space)`` to ``(B, F + classes, *space)``: the label as a one-hot vector, the same
    at each position (Mirza & Osindero 2014, figure 1)."""
    planes = one_hot(labels, classes).to(x.dtype)
    planes = planes.view(*planes.shape, *[1] * (x.ndim - 2))
    return torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], dim=1)
