"""Noise schedules: t → (alpha_t, sigma_t) of x_t = alpha_t x_0 + sigma_t ε; all else is derived.

Times and what follows from them are float64 on the CPU, whatever the samples' device: they are few,
and float32 loses 1 - alpha_t² where there is little noise. ``on`` casts them where they meet
samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from genbench.errors import UsageError


class Schedule(Protocol):
    """``schedule(t)`` gives (alpha_t, sigma_t), both of t's shape, for 0 ≤ t ≤ ``t_max``."""

    @property
    def t_max(self) -> int: ...

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]: ...

    def draw(self, count: int) -> Tensor:
        """``(count,)`` times, each uniform over those that a network is trained at."""
        ...


@dataclass(frozen=True)
class LinearBetas:
    """DDPM's table: ᾱ_t = ∏ (1 - β_i) over the integers 1 ≤ i ≤ t, with β linear in i.

    β runs from 1e-4 to 0.02 at 1,000 timesteps (Ho et al. 2020, section 4) and is scaled by
    1000/timesteps otherwise (Nichol & Dhariwal 2021, their released code), so that next to nothing
    of x_0 is left at the end: ᾱ_T is 4e-5 at 1,000 timesteps and 3e-5 at 250. t = 0 is the clean
    sample.

    Raises:
        UsageError: 20 timesteps or fewer, where β would reach 1.
    """

    timesteps: int = 1000

    def __post_init__(self) -> None:
        if self.timesteps <= 20:
            raise UsageError(f"timesteps must be at least 21, got {self.timesteps}")

    @property
    def t_max(self) -> int:
        return self.timesteps

    @cached_property
    def alpha_bar(self) -> Tensor:
        """ᾱ_0 = 1, ᾱ_1, …, ᾱ_T: ``(timesteps + 1,)``."""
        scale = 1000 / self.timesteps
        beta = torch.linspace(1e-4 * scale, 0.02 * scale, self.timesteps, dtype=torch.float64)
        return torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alpha_bar[t]
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def draw(self, count: int) -> Tensor:
        return (_spread(count) * self.timesteps).long() + 1


@dataclass(frozen=True)
class _Continuous:
    """What the schedules over 0 ≤ t ≤ 1 share."""

    @property
    def t_max(self) -> int:
        return 1

    def draw(self, count: int) -> Tensor:
        # Song et al. 2021 (appendix C) train from t = 1e-5 on: at 0 the score is not defined.
        return 1e-5 + (1 - 1e-5) * _spread(count)


def _spread(count: int) -> Tensor:
    """``count`` numbers in [0, 1), each uniform and together evenly spread: a loss over them varies
    less than over independent ones (Kingma et al. 2021, appendix I.1)."""
    offset = torch.rand((), dtype=torch.float64)
    return (torch.arange(count, dtype=torch.float64) / count + offset) % 1


@dataclass(frozen=True)
class VP(_Continuous):
    """Variance preserving: alpha_t² + sigma_t² = 1 (Song et al. 2021, eq. 11 and 33)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def log_alpha(self, t: Tensor) -> Tensor:
        return -(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = self.log_alpha(t)
        return log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()


@dataclass(frozen=True)
class SubVP(VP):
    """Sub-VP: VP's mean, with the smaller sigma_t = 1 - alpha_t² (Song et al. 2021, eq. 12, 29)."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = self.log_alpha(t)
        return log_alpha.exp(), -torch.expm1(2 * log_alpha)


@dataclass(frozen=True)
class VE(_Continuous):
    """Variance exploding: alpha_t = 1, log sigma_t linear in t (Song et al. 2021, eq. 9 and 30)."""

    sigma_min: float
    sigma_max: float

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        ratio = math.log(self.sigma_max / self.sigma_min)
        return torch.ones_like(t), self.sigma_min * (ratio * t).exp()


def drift_and_diffusion(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """f(t) and g²(t) of dx = f x dt + g dw, the SDE whose marginals the schedule gives.

    f = d log alpha/dt and g² = dsigma²/dt - 2 f sigma² (Särkkä & Solin 2019, section 6.1, solved
    for the coefficients), for a schedule that is differentiable in t; in inference mode too.
    """
    with torch.inference_mode(False), torch.enable_grad():
        t = t.clone().requires_grad_()
        alpha_t, sigma_t = schedule(t)
        d_alpha, d_sigma = _derivative(alpha_t, t), _derivative(sigma_t, t)
    alpha_t, sigma_t = alpha_t.detach(), sigma_t.detach()
    f = d_alpha / alpha_t
    return f, 2 * sigma_t * (d_sigma - f * sigma_t)


def _derivative(value: Tensor, t: Tensor) -> Tensor:
    if not value.requires_grad:  # constant, as VE's alpha
        return torch.zeros_like(value)
    (gradient,) = torch.autograd.grad(value.sum(), t, retain_graph=True)
    return gradient


def transition(schedule: Schedule, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_{t|s} and sigma²_{t|s} of x_t = alpha_{t|s} x_s + sigma_{t|s} ε, for s < t.

    Kingma et al. 2021 ("Variational diffusion models"), appendix A.
    """
    (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule(s), schedule(t)
    alpha_ts = alpha_t / alpha_s
    return alpha_ts, sigma_t**2 - (alpha_ts * sigma_s) ** 2


def on(x: Tensor, value: Tensor) -> Tensor:
    """``value``, ``()`` or ``(B,)`` with one a sample, ready to multiply x ``(B, *shape)``."""
    # On the CPU a tensor of no dimensions mixes with every device and dtype as it is.
    if value.ndim == 0:
        return value
    value = value.to(x.device, x.dtype, non_blocking=True)
    return value.view(-1, *[1] * (x.ndim - 1))
