"""The corrector of Song et al. 2021, and its place before a predictor."""

from __future__ import annotations

import math

import pytest
import torch
from mixtures import CONTINUOUS, PAIR, Mixture, f64, normal
from torch import Tensor

from baselines.samplers import Ancestral, Langevin, PredictorCorrector, ReverseDiffusion
from baselines.schedules import VE, VP, Schedule


def isotropic(dimensions: int) -> Mixture:
    """One Gaussian of mean 0 and variance 0.3."""
    covariance = 0.3 * torch.eye(dimensions, dtype=torch.float64)
    return Mixture(torch.zeros(1, dimensions, dtype=torch.float64), covariance[None])


def correct(schedule: Schedule, t: float, dimensions: int, start: float) -> float:
    """The variance after 60 Langevin steps at t from ``start``, both in units of the marginal's."""
    torch.manual_seed(0)
    time = f64(t)[0]
    alpha, sigma = schedule(time)
    variance = 0.3 * alpha**2 + sigma**2
    x = (start * variance).sqrt() * torch.randn(1000, dimensions, dtype=torch.float64)
    corrector = Langevin(isotropic(dimensions).denoiser(schedule), schedule, snr=0.16)
    for _ in range(60):
        # s near t, since the step size shrinks by (alpha_t/alpha_s)².
        x = corrector.step(x, time, time - 1e-3, torch.randn_like)
    return float(x.square().mean() / variance)


@pytest.mark.parametrize("start", [1.0, 1.5])
@pytest.mark.parametrize("dimensions", [8, 64])
@pytest.mark.parametrize("sde", CONTINUOUS)
def test_langevin_keeps_and_restores_a_marginal(sde: str, dimensions: int, start: float) -> None:
    # An Euler step of Langevin dynamics widens the variance by 1/(1 - snr²); at 64 dimensions each
    # sample's own norms do so by another ((d + 2) / d)².
    widened = 1 / (1 - 0.16**2) * ((66 / 64) ** 2 if dimensions == 64 else 1)
    assert abs(correct(CONTINUOUS[sde], 1.0, dimensions, start) - widened) < 0.04


def test_langevin_step_of_vp_by_hand() -> None:
    # Algorithm 5: ε = 2 (1 - β) (r |z| / |g|)², with 1 - β = exp(-∫ β dt) over the grid's step.
    schedule = VP()
    t, s = f64(0.5, 0.4)
    x, z, g = normal(3, 1, 40)
    alpha, sigma = schedule(t)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return (x_t + sigma**2 * g) / alpha  # whose score is g

    survival = math.exp(-(0.1 * 0.1 + 19.9 * (0.5**2 - 0.4**2) / 2))
    step = 2 * survival * (0.2 * z.norm() / g.norm()) ** 2
    expected = x + step * g + (2 * step).sqrt() * z
    result = Langevin(denoise, schedule, snr=0.2).step(x, t, s, lambda _: z)
    torch.testing.assert_close(result, expected)


def test_langevin_step_at_a_score_of_zero_is_finite() -> None:
    """Where x_t is its own denoised sample, as an untrained network may say."""
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    corrector = Langevin(lambda x_t, t: x_t, VE(0.01, 50.0))
    assert (
        corrector.step(x, torch.tensor(0.5), torch.tensor(0.4), torch.randn_like).isfinite().all()
    )


@pytest.mark.parametrize("predictor", [ReverseDiffusion, Ancestral])
def test_predictor_corrector_corrects_and_then_predicts(
    predictor: type[ReverseDiffusion] | type[Ancestral],
) -> None:
    schedule = VP()
    denoise = PAIR.denoiser(schedule)
    x, *noises = normal(3, 5, 2).unbind()
    t, s = f64(0.5, 0.4)
    corrected = Langevin(denoise, schedule, 0.3).step(x, t, s, lambda _: noises[0])
    expected = predictor(denoise, schedule).step(corrected, t, s, lambda _: noises[1])
    draw = iter(noises)
    sampler = PredictorCorrector(denoise, schedule, 0.3, predictor)
    torch.testing.assert_close(sampler.step(x, t, s, lambda _: next(draw)), expected)
