"""Heun's method over the noise-to-signal ratio, and Karras et al. 2022's sampler, which adds noise.

Over r = sigma/alpha, y = x/alpha the probability-flow ODE is dy/dr = ε̂ for every schedule (Song,
Meng & Ermon 2021, eq. 14): its linear part drops out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.denoisers import Denoiser, epsilon
from baselines.schedules import Schedule, transition
from genbench.api.samplers import Noise


@dataclass(frozen=True)
class HeunODE:
    """The probability-flow ODE (Song et al. 2021, eq. 13) by Heun's method, of second order.

    A step to sigma_s = 0, where ε is not defined, is Euler's, which returns x̂_0 (Karras et al.
    2022, algorithm 1).
    """

    denoise: Denoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        h = sigma_s / alpha_s - sigma_t / alpha_t
        slope_t = epsilon(self.denoise, self.schedule, x_t, t)
        euler = alpha_s * (x_t / alpha_t + h * slope_t)
        if sigma_s == 0:
            return euler
        slope_s = epsilon(self.denoise, self.schedule, euler, s)
        return alpha_s * (x_t / alpha_t + h * (slope_t + slope_s) / 2)


@dataclass(frozen=True)
class StochasticHeun:
    """Noise added, then more removed: Karras et al. 2022, algorithm 2, of ``steps`` steps.

    In their notation S_churn, S_min, S_max, S_noise, with sigma/alpha where the paper, whose alpha
    is 1, has sigma: x_t is carried back to the time of (1 + γ) sigma_t/alpha_t by the forward
    process and from there to s by ``HeunODE``, which this is without churn. Churn needs a schedule
    in continuous time.
    """

    denoise: Denoiser
    schedule: Schedule
    steps: int
    s_churn: float = 0.0
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        alpha_t, sigma_t = self.schedule(t)
        ratio = float(sigma_t / alpha_t)
        if self.s_churn > 0 and self.s_min <= ratio <= self.s_max:
            gamma = min(self.s_churn / self.steps, math.sqrt(2) - 1)
            later = time_of_ratio(self.schedule, (1 + gamma) * ratio, t)
            alpha_lt, var_lt = transition(self.schedule, t, later)
            x_t, t = alpha_lt * x_t + self.s_noise * var_lt.sqrt() * noise(x_t), later
        return HeunODE(self.denoise, self.schedule).step(x_t, t, s, noise)


PARTS = torch.linspace(0, 1, 65, dtype=torch.float64)


def time_of_ratio(schedule: Schedule, ratio: float, after: Tensor) -> Tensor:
    """The time ``()``, above ``after`` by t_max at most, at which sigma_t/alpha_t rises to
    ``ratio``: to the last digit."""
    low, width = after.double(), float(schedule.t_max)
    for _ in range(9):  # 64⁹ parts are finer than float64
        alphas, sigmas = schedule(low + width * PARTS)
        below = int((sigmas < ratio * alphas).sum())
        low = low + width * PARTS[max(below - 1, 0)]
        width /= 64
    return low
