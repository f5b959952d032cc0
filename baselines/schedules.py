"""Noise schedules: t → (alpha_t, sigma_t) of x_t = alpha_t x_0 + sigma_t ε; all else is derived.

Times and what follows from them are float64 on the CPU, whatever the samples' device: they are few,
and float32 loses 1 - alpha_t² when there is little noise. ``on`` casts them where they meet
samples.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from genbench.api.errors import UsageError


class Schedule(Protocol):
    """``schedule(t)`` gives (alpha_t, sigma_t), both of t's shape, for 0 ≤ t ≤ ``t_max``."""

    @property
    def t_min(self) -> float:
        """The least time above 0 at which a network is trained."""
        ...

    @property
    def t_max(self) -> float: ...

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]: ...

    def draw(self, count: int) -> Tensor:
        """``(count,)`` times, each distributed as those that a network is trained at."""
        ...

    def noise_label(self, t: Tensor) -> Tensor:
        """The time as a network's input: c_noise of Karras et al. 2022, eq. 7."""
        ...

    def at(self, fraction: Tensor) -> Tensor:
        """Times that lie ``fraction``, in [0, 1], of the way from the least noise to the most."""
        ...


@dataclass(frozen=True)
class Betas(ABC):
    """DDPM's table: ᾱ_t = ∏ (1 - β_i) over the integers 1 ≤ i ≤ t; t = 0 is the clean sample."""

    timesteps: int = 1000

    @property
    def t_min(self) -> int:
        return 1

    @property
    def t_max(self) -> int:
        return self.timesteps

    @property
    @abstractmethod
    def beta(self) -> Tensor:
        """β_1, …, β_T: ``(timesteps,)``."""

    @cached_property
    def alpha_bar(self) -> Tensor:
        """ᾱ_0 = 1, ᾱ_1, …, ᾱ_T: ``(timesteps + 1,)``."""
        return torch.cat([torch.ones(1, dtype=torch.float64), (1 - self.beta).cumprod(0)])

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alpha_bar[t]
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def draw(self, count: int) -> Tensor:
        return (spread(count) * self.timesteps).long() + 1

    def noise_label(self, t: Tensor) -> Tensor:
        return t / self.timesteps

    def at(self, fraction: Tensor) -> Tensor:
        return (fraction * self.timesteps).round().long()


@dataclass(frozen=True)
class LinearBetas(Betas):
    """β linear in t, from 1e-4 to 0.02 at 1,000 timesteps (Ho et al. 2020, section 4).

    Scaled by 1000/timesteps otherwise (Nichol & Dhariwal 2021, their released code), so that next
    to nothing of x_0 is left at the end: ᾱ_T is 4e-5 at 1,000 timesteps and 3e-5 at 250.

    Raises:
        UsageError: 20 timesteps or fewer, where β would reach 1.
    """

    def __post_init__(self) -> None:
        if self.timesteps <= 20:
            raise UsageError(f"timesteps must be at least 21, got {self.timesteps}")

    @property
    def beta(self) -> Tensor:
        scale = 1000 / self.timesteps
        return torch.linspace(1e-4 * scale, 0.02 * scale, self.timesteps, dtype=torch.float64)


@dataclass(frozen=True)
class RangeBetas(Betas):
    """β linear in t from 1e-4 to ``last`` (Kong et al. 2021, section 5.1): 0.05 for 50 timesteps,
    0.02 for 200. Some of x_0 is left at the end: ᾱ_T is 0.28 and 0.13."""

    last: float = 0.02

    @property
    def beta(self) -> Tensor:
        return torch.linspace(1e-4, self.last, self.timesteps, dtype=torch.float64)


@dataclass(frozen=True)
class CosineBetas(Betas):
    """ᾱ_t = f(t)/f(0), f(t) = cos²(π/2 (t/T + s)/(1 + s)), s = 0.008 (Nichol & Dhariwal 2021, eq.
    17), with β held at 0.999 or below, as they do against the singularity at T."""

    @property
    def beta(self) -> Tensor:
        t = torch.arange(self.timesteps + 1, dtype=torch.float64)
        f = ((t / self.timesteps + 0.008) / 1.008 * (math.pi / 2)).cos() ** 2
        return (1 - f[1:] / f[:-1]).clamp_max(0.999)


@dataclass(frozen=True)
class _Continuous:
    """What the schedules over 0 ≤ t ≤ 1 share."""

    @property
    def t_min(self) -> float:
        # Song et al. 2021 (appendix C) train from here on: at 0 the score is not defined.
        return 1e-5

    @property
    def t_max(self) -> int:
        return 1

    def noise_label(self, t: Tensor) -> Tensor:
        return t

    def at(self, fraction: Tensor) -> Tensor:
        return fraction

    def draw(self, count: int) -> Tensor:
        return self.t_min + (1 - self.t_min) * spread(count)


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
    """Variance exploding: alpha_t = 1, log sigma_t linear in t (Song et al. 2021, eq. 9 and 30).

    A network's input is t or, with ``log_label``, log sigma_t, as for the authors' NCSN++.
    """

    sigma_min: float
    sigma_max: float
    log_label: bool = False

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        ratio = math.log(self.sigma_max / self.sigma_min)
        return torch.ones_like(t), self.sigma_min * (ratio * t).exp()

    def noise_label(self, t: Tensor) -> Tensor:
        return self(t)[1].log() if self.log_label else t


@dataclass(frozen=True)
class OptimalTransport(_Continuous):
    """alpha_t = 1 - t, sigma_t = 1 - (1 - sigma_min) alpha_t: the straight paths of flow matching
    (Lipman et al. 2023, eq. 20, whose time is our 1 - t)."""

    sigma_min: float = 1e-5

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, self.sigma_min + (1 - self.sigma_min) * t


@dataclass(frozen=True)
class NoiseLevels:
    """alpha_t = 1, sigma_t = t: EDM, where the noise level is the time (Karras et al. 2022).

    A network is trained at levels whose logarithm is normal, of the given ``mean`` and
    ``deviation`` (table 1, "noise distribution").
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    mean: float = -1.2
    deviation: float = 1.2
    rho: float = 7.0

    @property
    def t_min(self) -> float:
        return self.sigma_min

    @property
    def t_max(self) -> float:
        return self.sigma_max

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t

    def draw(self, count: int) -> Tensor:
        # At 0 the quantile would be -∞.
        normal: Tensor = torch.special.ndtri(spread(count).clamp_min(2**-53))
        return (self.mean + self.deviation * normal).exp()

    def noise_label(self, t: Tensor) -> Tensor:
        return t.log() / 4

    def at(self, fraction: Tensor) -> Tensor:
        """Even in sigma^(1/rho) (Karras et al. 2022, eq. 5)."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        root: Tensor = low + fraction * (high - low)
        return root**self.rho


def spread(count: int) -> Tensor:
    """``(count,)`` in [0, 1), each uniform and together evenly spread: a loss over them varies less
    than over independent ones (Kingma et al. 2021, appendix I.1)."""
    offset = torch.rand((), dtype=torch.float64)
    return (torch.arange(count, dtype=torch.float64) / count + offset) % 1


def drift_and_diffusion(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """f(t) and g²(t) of dx = f x dt + g dw, the SDE whose marginals the schedule gives.

    f = d log alpha/dt and g² = dsigma²/dt - 2 f sigma² (Särkkä & Solin 2019, section 6.1, solved
    for the coefficients).
    """
    alpha_t, sigma_t = schedule(t)
    d_alpha, d_sigma = derivatives(schedule, t)
    f = d_alpha / alpha_t
    return f, 2 * sigma_t * (d_sigma - f * sigma_t)


def derivatives(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """d alpha/dt and d sigma/dt of a schedule that is differentiable; in inference mode too."""
    with torch.inference_mode(False), torch.enable_grad():
        t = t.clone().requires_grad_()
        alpha_t, sigma_t = schedule(t)
        return _derivative(alpha_t, t), _derivative(sigma_t, t)


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
