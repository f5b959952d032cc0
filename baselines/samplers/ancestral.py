"""From p(x_s | x_t), x_0 known or guessed: DDPM's sampling, and DDIM's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from baselines.denoisers import Denoiser, mixed
from baselines.schedules import Schedule, on, transition
from genbench.api.samplers import Noise

LearnedDenoiser: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(x_0, v)``, both ``(B, *shape)``: E[x_0 | x_t] and the variance's place in [0, 1] between β̃
and β (Nichol & Dhariwal 2021, eq. 15)."""


def posterior_mean(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Mean of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7, for any s < t); t, s ``()`` or ``(B,)``."""
    (alpha_s, sigma_s), (_, sigma_t) = schedule(s), schedule(t)
    alpha_ts, var_ts = transition(schedule, s, t)
    of_x_0 = on(x_t, alpha_s * var_ts / sigma_t**2)
    of_x_t = on(x_t, alpha_ts * sigma_s**2 / sigma_t**2)
    return of_x_0 * x_0 + of_x_t * x_t


@dataclass(frozen=True)
class Ancestral:
    """The posterior q(x_s | x_t, x_0) at x_0 = E[x_0 | x_t]: DDPM's sampling.

    Ho et al. 2020, eq. 6 and 7, for any s < t; for VE this is eq. 47 of Song et al. 2021.
    ``variance`` is the posterior's, β̃, or the transition's sigma²_{t|s} = β (Ho et al. 2020,
    section 3.2, where both are named; eq. 4 of Song et al. 2021 takes β). Deterministic at s = 0,
    where it returns x̂_0.
    """

    denoise: Denoiser
    schedule: Schedule
    variance: Literal["posterior", "beta"] = "posterior"

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (_, sigma_s), (_, sigma_t) = self.schedule(s), self.schedule(t)
        mean = posterior_mean(self.schedule, self.denoise(x_t, t), x_t, t, s)
        if sigma_s == 0:
            return mean
        _, var_ts = transition(self.schedule, s, t)
        if self.variance == "beta":
            return mean + var_ts.sqrt() * noise(x_t)
        return mean + var_ts.sqrt() * sigma_s / sigma_t * noise(x_t)


@dataclass(frozen=True)
class LearnedAncestral:
    """``Ancestral`` with a variance of each value's own, β^v β̃^(1-v) with v the network's.

    Nichol & Dhariwal 2021, eq. 15, for any s < t: β = sigma²_{t|s}, β̃ = β sigma_s²/sigma_t².
    """

    denoise: LearnedDenoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        (_, sigma_s), (_, sigma_t) = self.schedule(s), self.schedule(t)
        x_0, v = self.denoise(x_t, t)
        mean = posterior_mean(self.schedule, x_0, x_t, t, s)
        if sigma_s == 0:
            return mean
        _, var_ts = transition(self.schedule, s, t)
        return mean + var_ts.sqrt() * float(sigma_s / sigma_t) ** (1 - v) * noise(x_t)


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
        deviation = self.eta * var_ts.sqrt() * sigma_s / sigma_t
        kept = (sigma_s**2 - deviation**2).sqrt()
        x_s = mixed(self.denoise, self.schedule, x_t, t, alpha_s, kept)
        return x_s + deviation * noise(x_t) if deviation > 0 else x_s
