"""A denoiser is E[x_0 | x_t]; ε, v and the score are other views of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from baselines.schedules import Schedule, on

Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x_t, t)``: E[x_0 | x_t] of x_t ``(B, *shape)``; t ``()``, or ``(B,)`` one a sample."""

Network: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``network(x, time)`` of x ``(B, *shape)`` and time ``(B,)`` in [0, 1]: ε̂ ``(B, *shape)``."""


def predict_epsilon(network: Network, schedule: Schedule, x_t: Tensor, t: Tensor) -> Tensor:
    """ε̂ = E[ε | x_t] as a network sees it, in x_t's dtype: float32 also under autocast.

    The network gets x_t at unit scale for data of unit scale (Karras et al. 2022, table 1, c_in
    with sigma_data = 1), which leaves VP's as it is, and t/t_max, which for VE is affine in
    log sigma_t.
    """
    alpha_t, sigma_t = schedule(t)
    scale = on(x_t, (alpha_t**2 + sigma_t**2).rsqrt())
    time = (t / schedule.t_max).to(x_t.device, x_t.dtype, non_blocking=True).expand(len(x_t))
    return network(scale * x_t, time).to(x_t.dtype)


@dataclass(frozen=True)
class NetworkDenoiser:
    """The denoiser of a network that predicts ε.

    ``clip`` holds x̂_0 in [-1, 1], as Ho et al. 2020 do in their released code.
    """

    network: Network
    schedule: Schedule
    clip: bool = False

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        epsilon = predict_epsilon(self.network, self.schedule, x_t, t)
        x_0 = from_epsilon(self.schedule, epsilon, x_t, t)
        return x_0.clamp(-1, 1) if self.clip else x_0


def from_epsilon(schedule: Schedule, epsilon: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """x_0 = (x_t - sigma_t ε) / alpha_t (Ho et al. 2020, eq. 15)."""
    alpha_t, sigma_t = schedule(t)
    return (x_t - on(x_t, sigma_t) * epsilon) / on(x_t, alpha_t)


def to_epsilon(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """ε = (x_t - alpha_t x_0) / sigma_t; sigma_t must not be 0."""
    alpha_t, sigma_t = schedule(t)
    return (x_t - on(x_t, alpha_t) * x_0) / on(x_t, sigma_t)


def to_v(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """v = alpha_t ε - sigma_t x_0 (Salimans & Ho 2022, section 4)."""
    alpha_t, sigma_t = schedule(t)
    return on(x_t, alpha_t) * to_epsilon(schedule, x_0, x_t, t) - on(x_t, sigma_t) * x_0


def to_score(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """∇ log p_t(x_t) = -ε / sigma_t, with x_0 = E[x_0 | x_t] (Tweedie's formula; Vincent 2011)."""
    _, sigma_t = schedule(t)
    return -to_epsilon(schedule, x_0, x_t, t) / on(x_t, sigma_t)
