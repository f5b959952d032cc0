"""The forward process and the training loss, once for every diffusion model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from baselines.denoisers import NetworkDenoiser, predict_epsilon
from baselines.schedules import Schedule, on
from genbench.types import Batch, Optimization, Progress, SampleSpec, Turn

WARMUP = 0.02
"""Share of a training over which the learning rate rises from 0."""


class Diffusion(nn.Module):
    """A network trained to predict the noise; a subclass adds ``sample``."""

    def __init__(
        self, spec: SampleSpec, schedule: Schedule, network: nn.Module, learning_rate: float
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict({"denoiser": network})
        self.spec = spec
        self.schedule = schedule
        self.learning_rate = learning_rate

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.spec.shape

    def denoiser(self, *, clip: bool = False) -> NetworkDenoiser:
        """E[x_0 | x_t] as the network has learned it."""
        return NetworkDenoiser(self.players["denoiser"], self.schedule, clip)

    def optimization(self, player: str) -> Optimization:
        """Adam, a short linear warm-up, cosine decay to 0, gradients clipped to norm 1.

        β₂ is 0.99 (as in Karras et al. 2024, EDM2) rather than Adam's 0.999, whose average of a
        thousand steps is most of a short training.
        """
        return Optimization(
            optimizer=lambda parameters: torch.optim.Adam(
                parameters, betas=(0.9, 0.99), fused=True
            ),
            learning_rate=lambda progress: self.learning_rate * warmup_cosine(progress.fraction),
            clip_norm=1.0,
        )

    def losses(self, batch: Batch, progress: Progress) -> Iterator[Turn]:
        """Mean of (ε - ε̂(x_t, t))² over uniform t (Ho et al. 2020, eq. 14)."""
        x_0 = batch.data
        t = self.schedule.draw(len(x_0))
        noise = torch.randn_like(x_0)
        predicted = predict_epsilon(
            self.players["denoiser"], self.schedule, diffuse(self.schedule, x_0, t, noise), t
        )
        yield Turn("denoiser", (noise - predicted).square().mean())


def diffuse(schedule: Schedule, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_t = alpha_t x_0 + sigma_t ε: the forward process in one leap (Ho et al. 2020, eq. 4)."""
    alpha_t, sigma_t = schedule(t)
    return on(x_0, alpha_t) * x_0 + on(x_0, sigma_t) * noise


def warmup_cosine(fraction: float) -> float:
    """The learning rate over its peak after ``fraction`` of a training, in [0, 1]."""
    return min(1.0, fraction / WARMUP) * (1 + math.cos(math.pi * fraction)) / 2
