"""Samplers: one stateless ``step(x_t, t, s, noise)`` each, from time t down to s < t.

All are given E[x_0 | x_t] and a schedule, take one time for the whole batch, and treat each sample
by itself: norms and step sizes are per sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from baselines.denoisers import Denoiser, to_epsilon, to_score
from baselines.schedules import Schedule, drift_and_diffusion, on, transition

Noise: TypeAlias = Callable[[Tensor], Tensor]
"""Standard normal noise of x's shape, called as often as a step needs it."""


class Sampler(Protocol):
    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        """x_s ``(B, *shape)`` from x_t; t and s are of shape ``()``, s < t."""
        ...


def integrate(
    sampler: Sampler, x: Tensor, times: Tensor, noise: Noise = torch.randn_like
) -> Tensor:
    """Carry x from ``times[0]`` through to ``times[-1]``: ``(steps + 1,)``, decreasing."""
    for t, s in pairwise(times):
        x = sampler.step(x, t, s, noise)
    return x


def strided_times(
    timesteps: int, steps: int, spacing: Literal["linear", "quadratic"] = "linear"
) -> Tensor:
    """``steps + 1`` different integers from ``timesteps`` down to 0; steps ≤ timesteps.

    The subsequences τ of Song, Meng & Ermon 2021 (appendix D.2), τ_i = c i or c i², with c such
    that the last timestep, where sampling starts, is among them.
    """
    index = torch.arange(steps, -1, -1)
    power = {"linear": 1, "quadratic": 2}[spacing]
    times = (timesteps * (index / steps).double() ** power).round().long()
    return torch.maximum(times, index)  # c i² crowds near 0


@dataclass(frozen=True)
class Ancestral:
    """The posterior q(x_s | x_t, x_0) at x_0 = E[x_0 | x_t]: DDPM's sampling, variance β̃.

    Ho et al. 2020, eq. 6 and 7, for any s < t. Deterministic at s = 0, where it returns x̂_0.
    """

    denoise: Denoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (alpha_s, sigma_s), (_, sigma_t) = self.schedule(s), self.schedule(t)
        alpha_ts, var_ts = transition(self.schedule, s, t)
        x_0 = self.denoise(x_t, t)
        mean = (alpha_s * var_ts / sigma_t**2) * x_0 + (alpha_ts * sigma_s**2 / sigma_t**2) * x_t
        if sigma_s == 0:
            return mean
        return mean + var_ts.sqrt() * sigma_s / sigma_t * noise(x_t)


@dataclass(frozen=True)
class DDIM:
    """Song, Meng & Ermon 2021, eq. 12, with the variance of eq. 16.

    ``eta`` = 0 is deterministic; 1 gives ``Ancestral`` where alpha_t² + sigma_t² = 1.
    """

    denoise: Denoiser
    schedule: Schedule
    eta: float = 0.0

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (alpha_s, sigma_s), (_, sigma_t) = self.schedule(s), self.schedule(t)
        _, var_ts = transition(self.schedule, s, t)
        x_0 = self.denoise(x_t, t)
        epsilon = to_epsilon(self.schedule, x_0, x_t, t)
        deviation = self.eta * var_ts.sqrt() * sigma_s / sigma_t
        x_s = alpha_s * x_0 + (sigma_s**2 - deviation**2).sqrt() * epsilon
        return x_s + deviation * noise(x_t) if deviation > 0 else x_s


@dataclass(frozen=True)
class EulerMaruyama:
    """dx = [f x - g² ∇ log p_t(x)] dt + g dw̄ (Song et al. 2021, eq. 6) by Euler–Maruyama."""

    denoise: Denoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        f, g2 = drift_and_diffusion(self.schedule, t)
        score = to_score(self.schedule, self.denoise(x_t, t), x_t, t)
        return x_t + (s - t) * (f * x_t - g2 * score) + (g2 * (t - s)).sqrt() * noise(x_t)


@dataclass(frozen=True)
class ReverseDiffusion:
    """The reverse SDE discretised as its forward transition is (Song et al. 2021, eq. 46).

    The predictor of their algorithms 2 (VE: alpha_{t|s} = 1, sigma²_{t|s} = sigma_t² - sigma_s²)
    and 3 (VP: alpha_{t|s}² = 1 - β, sigma²_{t|s} = β).
    """

    denoise: Denoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        alpha_ts, var_ts = transition(self.schedule, s, t)
        score = to_score(self.schedule, self.denoise(x_t, t), x_t, t)
        return (2 - alpha_ts) * x_t + var_ts * score + var_ts.sqrt() * noise(x_t)


FEW = 32
"""Numbers in a sample under which its own norms are too unsteady to set a step size by."""

TINY = 1e-12
"""The least norm of a score: at 0 the step size would be infinite, and the step NaN."""


@dataclass(frozen=True)
class Langevin:
    """One corrector step at t (Song et al. 2021, algorithms 4 and 5): x keeps the law p_t.

    The step size is δ = 2 alpha_{t|s}² (snr |z| / |score|)². The paper's code takes the norms'
    means over a batch; here they are each sample's own. As own norms go with x and z, they widen
    the stationary variance by ((d + 2) / d)² in d dimensions: 6% at 64, fourfold at 2. Samples of
    fewer than ``FEW`` numbers therefore take what the norms are expected to be, √d and √d/sigma_t.
    """

    denoise: Denoiser
    schedule: Schedule
    snr: float = 0.16

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        alpha_ts, _ = transition(self.schedule, s, t)
        score = to_score(self.schedule, self.denoise(x_t, t), x_t, t)
        z = noise(x_t)
        if score[0].numel() < FEW:
            _, ratio = self.schedule(t)
        else:
            norm = score.flatten(1).norm(dim=1).clamp_min(TINY)
            ratio = on(x_t, z.flatten(1).norm(dim=1) / norm)
        delta = 2 * (alpha_ts * self.snr * ratio) ** 2
        return x_t + delta * score + (2 * delta).sqrt() * z


@dataclass(frozen=True)
class PredictorCorrector:
    """At each time, one Langevin step and then the predictor's (Song et al. 2021, appendix G).

    In the order of their released code: the corrector at t, then from t to s.
    """

    denoise: Denoiser
    schedule: Schedule
    snr: float = 0.16

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        x_t = Langevin(self.denoise, self.schedule, self.snr).step(x_t, t, s, noise)
        return ReverseDiffusion(self.denoise, self.schedule).step(x_t, t, s, noise)


@dataclass(frozen=True)
class HeunODE:
    """The probability-flow ODE (Song et al. 2021, eq. 13) by Heun's method, of second order.

    Over r = sigma/alpha, y = x/alpha the ODE is dy/dr = ε̂ for every schedule (Song, Meng & Ermon
    2021, eq. 14): its linear part drops out. sigma_s must not be 0.
    """

    denoise: Denoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        h = sigma_s / alpha_s - sigma_t / alpha_t
        slope_t = to_epsilon(self.schedule, self.denoise(x_t, t), x_t, t)
        euler = alpha_s * (x_t / alpha_t + h * slope_t)
        slope_s = to_epsilon(self.schedule, self.denoise(euler, s), euler, s)
        return alpha_s * (x_t / alpha_t + h * (slope_t + slope_s) / 2)
