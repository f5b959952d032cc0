"""VAE: the variational autoencoder (Kingma & Welling 2014), with the noise of its decoder at its
best (Rybkin et al. 2021). Neither a diffusion nor a GAN: a point of reference."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from baselines.adversarial import LatentOptions
from baselines.conditioning import conditions_of, labels_of
from baselines.networks.vae import autoencoder
from baselines.optimizers import RateOptions
from genbench.api import Batch, Condition, Optimization, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError

WARM_UP = 0.5
"""Share of a training over which the divergence's weight rises from 0: else the decoder may never
learn to use the code (Sønderby et al. 2016, section 2.3)."""
MEMORY = 0.99
"""Share of the running error that a step keeps."""
LEAST_ERROR = 1e-6
"""Added to the mean squared error, so that its logarithm stays finite where nothing is lost: an
eighth of what rounding to 256 levels costs."""


def vae(
    spec: SampleSpec,
    *,
    network: LatentOptions = LatentOptions(channels=16),
    beta: NonNegativeFloat = 1.0,
    rate: RateOptions = RateOptions(3e-3, "cosine"),
) -> Vae:
    """A VAE: a convolutional encoder and decoder with a Gaussian likelihood; MLPs for points.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points.
        network: ``channels`` is the width at full size, doubled at each halving up to fourfold; an
            eighth of an MLP's. ``latent`` are the dimensions of the code, 8 by default. Labels come
            beside what encoder and decoder take (Sohn et al. 2015).
        beta: Weight of the code's divergence from its prior (Higgins et al. 2017, eq. 4); 1 for
            the evidence lower bound.
        rate: The learning rate.

    Raises:
        UsageError: More than 3 sides, ``conditional`` without labels.
    """
    if len(spec.shape) > 4:
        raise UsageError(f"vae needs at most 3 sides; the samples are {spec.shape}")
    sizes = network.sizes(spec, usual=8)
    coder = autoencoder(spec.shape, channels=network.channels, **sizes)
    return Vae(
        coder,
        latent=sizes["latent"],
        classes=sizes["classes"],
        beta=beta,
        noisy=not sizes["bounded"],
        rate=rate,
    )


class Vae(nn.Module):
    """x = μ(z) + σ ε, with one σ for all values, and z standard normal."""

    error: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        latent: int,
        classes: int,
        beta: float,
        noisy: bool,
        rate: RateOptions,
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"autoencoder": network})
        self.noise_shape = (latent,)
        self.conditions = conditions_of(classes)
        self.beta = beta
        self.noisy = noisy
        self.rate = rate
        # σ², for sampling: nothing in the training depends on it, so each device may have its own.
        self.register_buffer("error", torch.ones(()))

    def optimization(self, player: str) -> Optimization:
        """Adam with the β₂ and the clipped gradients of the diffusions."""
        return self.rate.adam((0.9, 0.99), clip_norm=1.0)

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The negative evidence lower bound in nats a dimension (Kingma & Welling 2014, eq. 10).

        σ² is what makes the batch likeliest, the mean squared error (Rybkin et al. 2021, section
        4.1): the squared error then counts by its logarithm, and needs no weight.

        Diagnostics: ``squared_error``, the mean; ``divergence``, of the code from its prior, in
        nats a sample.
        """
        x, labels = batch.data, labels_of(batch.condition, self.conditions)
        mean, code_mean, code_log_variance = (
            output.float() for output in self.players["autoencoder"](x, labels)
        )
        squared_error = (x - mean).square().mean() + LEAST_ERROR
        variance = code_log_variance.exp()
        divergence = (code_mean.square() + variance - 1 - code_log_variance).sum(1).mean() / 2
        loss = (math.log(2 * math.pi) + squared_error.log() + 1) / 2
        beta = self.beta * min(1, progress.fraction / WARM_UP)
        loss = loss + beta * divergence / x[0].numel()
        # The plain mean at first, then a moving one.
        self.error.lerp_(squared_error.detach(), max(1 - MEMORY, 1 / (progress.step + 1)))
        yield PlayerStep(
            "autoencoder",
            loss,
            {"squared_error": squared_error.detach(), "divergence": divergence.detach()},
        )

    def sample(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        temperature: NonNegativeFloat = 1.0,
        decoder_noise: NonNegativeFloat | None = None,
    ) -> Tensor:
        """Standard normal ``(B, latent)`` to samples ``(B, *shape)``, of the condition's labels
        if the model is conditional.

        Args:
            temperature: Standard deviation of the code; below 1, more typical samples.
            decoder_noise: The share of σ ε that is added to the decoder's mean. By default all of
                it for real values; none for integers, whose means are usually shown.
        """
        labels = labels_of(condition, self.conditions)
        mean: Tensor = self.players["autoencoder"](temperature * noise, labels, decode=True)
        share = float(self.noisy) if decoder_noise is None else decoder_noise
        return mean + share * self.error.sqrt() * torch.randn_like(mean)
