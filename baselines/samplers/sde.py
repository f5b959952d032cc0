"""The reverse SDE, and Langevin corrections (Song et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from baselines.denoisers import Denoiser, score
from baselines.schedules import Schedule, drift_and_diffusion, on, transition
from genbench.api.samplers import Noise, Sampler


@dataclass(frozen=True)
class EulerMaruyama:
    """dx = [f x - g² ∇ log p_t(x)] dt + g dw̄ (Song et al. 2021, eq. 6) by Euler–Maruyama."""

    denoise: Denoiser
    schedule: Schedule

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        f, g2 = drift_and_diffusion(self.schedule, t)
        slope = score(self.denoise, self.schedule, x_t, t)
        return x_t + (s - t) * (f * x_t - g2 * slope) + (g2 * (t - s)).sqrt() * noise(x_t)


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
        slope = score(self.denoise, self.schedule, x_t, t)
        return (2 - alpha_ts) * x_t + var_ts * slope + var_ts.sqrt() * noise(x_t)


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
        slope = score(self.denoise, self.schedule, x_t, t)
        z = noise(x_t)
        if slope[0].numel() < FEW:
            _, ratio = self.schedule(t)
        else:
            norm = slope.flatten(1).norm(dim=1).clamp_min(TINY)
            ratio = on(x_t, z.flatten(1).norm(dim=1) / norm)
        delta = 2 * (alpha_ts * self.snr * ratio) ** 2
        return x_t + delta * slope + (2 * delta).sqrt() * z


@dataclass(frozen=True)
class PredictorCorrector:
    """At each time, one Langevin step and then the predictor's (Song et al. 2021, appendix G).

    In the order of their released code: the corrector at t, then from t to s. The paper's
    predictors are ``ReverseDiffusion`` and ``Ancestral``; each is a sampler of its own, which is
    the way to go without the corrector.
    """

    denoise: Denoiser
    schedule: Schedule
    snr: float = 0.16
    predictor: Callable[[Denoiser, Schedule], Sampler] = ReverseDiffusion

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        x_t = Langevin(self.denoise, self.schedule, self.snr).step(x_t, t, s, noise)
        return self.predictor(self.denoise, self.schedule).step(x_t, t, s, noise)
