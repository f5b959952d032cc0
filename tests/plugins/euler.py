"""A stranger's sampler: Euler's method in sigma/alpha, with a share of noise."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genbench import registry
from genbench.api.samplers import AlphaSigma, Denoiser, Noise


@dataclass(frozen=True)
class Euler:
    denoise: Denoiser
    schedule: AlphaSigma
    churn: float

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        x_0 = self.denoise(x_t, t)
        epsilon = (x_t - float(alpha_t) * x_0) / float(sigma_t)
        return float(alpha_s) * x_0 + float(sigma_s) * (epsilon + self.churn * noise(x_t))


def euler(denoise: Denoiser, schedule: AlphaSigma, *, churn: float = 0.0) -> Euler:
    """Euler's method in sigma/alpha, with a share of noise."""
    return Euler(denoise, schedule, churn)


registry.samplers.add("ratio-euler", euler)
