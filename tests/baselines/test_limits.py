"""What theory says of models that are exact: DDPM, DDIM and the ODE agree in the limit; a flow's
velocity and path are known for a Gaussian, and so is every likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from mixtures import to_epsilon
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from baselines.ddpm import Ddpm
from baselines.denoisers import NetworkDenoiser
from baselines.diffusion import ContinuousDiffusion
from baselines.edm import Edm
from baselines.flow_matching import FlowMatching
from baselines.optimizers import OptimizerConfig
from baselines.predictions import CLEAN, EPSILON, Prediction, V, edm, velocity
from baselines.samplers import DDIM, RungeKutta, integrate
from baselines.schedules import (
    VE,
    VP,
    LinearBetas,
    NoiseLevels,
    OptimalTransport,
    Schedule,
    SubVP,
    drift_and_diffusion,
)
from baselines.score_sde import ScoreSde
from genbench.api import Batch, SampleSpec

POINTS = SampleSpec("points", (2,), None)
LEARNING = OptimizerConfig(1e-3)


class Exact(nn.Module):
    """The exact network for equal parts of N(m, s²) and N(-m, s²) in each dimension."""

    def __init__(self, schedule: Schedule, prediction: Prediction, m: float, s: float) -> None:
        super().__init__()
        self.schedule, self.prediction, self.m, self.s = schedule, prediction, m, s

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c.to(x_t)[:, None] for c in self.schedule(t))
        variance = (alpha * self.s) ** 2 + sigma**2
        middle = (alpha * self.m * x_t / variance).tanh() * self.m
        return middle + alpha * self.s**2 / variance * (x_t - alpha * middle)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        label = time.double()
        t = (4 * label).exp() if isinstance(self.schedule, NoiseLevels) else label
        if isinstance(self.schedule, LinearBetas):
            t = (label * self.schedule.timesteps).round().long()
        c_in = self.prediction.c_in(*self.schedule(t))[:, None].to(x)
        x_0 = self.denoise(x / c_in, t)
        return self.prediction.target(
            self.schedule, x_0, to_epsilon(self.schedule, x_0, x / c_in, t), t
        )


class Centred(Exact):
    """The same for one Gaussian, N(m, s²)."""

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (c.to(x_t)[:, None] for c in self.schedule(t))
        variance = (alpha * self.s) ** 2 + sigma**2
        return self.m + alpha * self.s**2 / variance * (x_t - alpha * self.m)


def ddpm(timesteps: int, prediction: Prediction = EPSILON) -> Ddpm:
    schedule = LinearBetas(timesteps)
    network = Exact(schedule, prediction, 0.6, 0.2)
    return Ddpm(POINTS, schedule, network, LEARNING, prediction=prediction)


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def probability_flow(noise: Tensor) -> Tensor:
    """VP's ODE, dx/dt = f x - g²/2 score (Song et al. 2021, eq. 13), by scipy; the end denoised."""
    schedule = VP()
    exact = Exact(schedule, EPSILON, 0.6, 0.2)

    def slope(t: float, x: Any) -> Any:
        time = torch.tensor([t], dtype=torch.float64)
        x_t = torch.as_tensor(x).view(-1, 2)
        f, g2 = drift_and_diffusion(schedule, time)
        _, sigma = schedule(time)
        score = -to_epsilon(schedule, exact.denoise(x_t, time), x_t, time) / sigma
        return (f * x_t - g2 / 2 * score).numpy().ravel()

    solved = solve_ivp(slope, (1.0, 1e-4), noise.numpy().ravel(), rtol=1e-8, atol=1e-8)
    assert solved.success
    x = torch.as_tensor(np.asarray(solved.y[:, -1])).view(-1, 2)
    return exact.denoise(x, torch.tensor([1e-4], dtype=torch.float64))


def test_ddim_over_all_timesteps_tends_to_the_probability_flow(noise: Tensor) -> None:
    # Song, Meng & Ermon 2021, section 4.3: DDIM is Euler's method, whose error halves.
    limit = probability_flow(noise)
    errors = []
    for timesteps in (500, 1000, 2000):
        x = ddpm(timesteps).sample(noise, {}, sampler="ddim")
        errors.append(float((x - limit).abs().max()))
    assert errors[-1] < 0.01
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.4)
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.4)


def test_the_sdes_own_ode_is_the_same_flow(noise: Tensor) -> None:
    schedule = VP()
    model = ScoreSde(POINTS, schedule, Exact(schedule, EPSILON, 0.6, 0.2), LEARNING)
    limit = probability_flow(noise)
    for sampler, steps in (("ode", 300), ("rk45", 2), ("dpm-solver++", 300)):
        x = model.sample(noise, {}, sampler=sampler, steps=steps)
        # The grid ends at t = 1e-3, where scipy's ends at 1e-4.
        torch.testing.assert_close(x, limit, rtol=0, atol=2e-3)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm-solver++"])
@pytest.mark.parametrize("prediction", [CLEAN, V])
def test_what_is_predicted_does_not_matter_to_an_exact_network(
    sampler: Any, prediction: Prediction, noise: Tensor
) -> None:
    samples = []
    for kind in (EPSILON, prediction):
        torch.manual_seed(0)
        samples.append(ddpm(100, kind).sample(noise, {}, sampler=sampler, steps=20))
    torch.testing.assert_close(samples[0], samples[1], rtol=1e-6, atol=1e-6)


def test_eulers_method_on_straight_paths_is_ddim(noise: Tensor) -> None:
    schedule = OptimalTransport()
    denoise = NetworkDenoiser(Exact(schedule, velocity(1e-5), 0.6, 0.2), schedule, velocity(1e-5))
    times = torch.linspace(1, 0, 11, dtype=torch.float64)
    euler = integrate(RungeKutta(denoise, schedule, "euler"), noise, times)
    torch.testing.assert_close(euler, integrate(DDIM(denoise, schedule), noise, times))


def flow(m: float, s: float) -> FlowMatching:
    schedule = OptimalTransport()
    network = Centred(schedule, velocity(schedule.sigma_min), m, s)
    return FlowMatching(
        POINTS, schedule, network, LEARNING, prediction=velocity(schedule.sigma_min)
    )


def test_a_flows_velocity_of_a_gaussian(noise: Tensor) -> None:
    # Paths are x_t = m alpha + √(s² alpha² + sigma²) z, z fixed: v is their derivative.
    m, s, schedule = 0.4, 0.3, OptimalTransport()
    t = torch.tensor([0.9, 0.7, 0.5, 0.2, 0.01], dtype=torch.float64)

    def at(t: Tensor) -> Tensor:
        alpha, sigma = (c[:, None] for c in schedule(t))
        return m * alpha + ((s * alpha) ** 2 + sigma**2).sqrt() * noise

    slope = (at(t + 1e-5) - at(t - 1e-5)) / 2e-5
    predicted = flow(m, s).denoiser({}).predict(at(t), t)
    torch.testing.assert_close(predicted, slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("sampler", "steps", "tolerance"),
    [
        ("euler", 400, 0.01),
        ("midpoint", 100, 1e-3),
        ("heun", 100, 1e-3),
        ("rk45", 3, 1e-3),
        ("dpm-solver++", 200, 2e-3),
    ],
)
def test_a_flow_takes_noise_to_a_gaussian(
    sampler: Any, steps: int, tolerance: float, noise: Tensor
) -> None:
    x = flow(0.4, 0.3).sample(noise, {}, sampler=sampler, steps=steps)
    torch.testing.assert_close(x, 0.4 + 0.3 * noise, rtol=0, atol=tolerance)


def test_edm_takes_noise_to_a_gaussian(noise: Tensor) -> None:
    # √(s² + 80²)/80 of the noise is left at the start, and the mean is 1/80 away.
    schedule, m, s = NoiseLevels(), 0.4, 0.5
    model = Edm(POINTS, schedule, Centred(schedule, edm(0.5), m, s), LEARNING, prediction=edm(0.5))
    x = model.sample(noise, {}, steps=200)
    z = (80 * noise - m) / math.sqrt(s**2 + 80**2)
    torch.testing.assert_close(x, m + s * z, rtol=0, atol=1e-3)


def continuous(name: str, spec: SampleSpec, m: float, s: float) -> ContinuousDiffusion:
    if name == "edm":
        levels = NoiseLevels()
        network = Centred(levels, edm(0.5), m, s)
        return Edm(spec, levels, network, LEARNING, prediction=edm(0.5))
    if name == "flow":
        paths = OptimalTransport()
        network = Centred(paths, velocity(1e-5), m, s)
        return FlowMatching(spec, paths, network, LEARNING, prediction=velocity(1e-5))
    schedule: Schedule = {"vp": VP(), "subvp": SubVP(), "ve": VE(0.01, 100.0)}[name]
    return ScoreSde(spec, schedule, Centred(schedule, EPSILON, m, s), LEARNING)


@pytest.mark.parametrize("name", ["vp", "subvp", "ve", "edm", "flow"])
def test_bits_per_dim_of_a_gaussian(name: str) -> None:
    torch.manual_seed(0)
    m, s = 0.2, 0.4
    x = m + s * torch.randn(20, 2)
    model = continuous(name, POINTS, m, s)
    bits = model.bits_per_dim(Batch(x), trace="exact")
    normal = torch.distributions.Normal(m, s)
    torch.testing.assert_close(bits, -normal.log_prob(x).mean(1) / math.log(2), rtol=0, atol=0.01)


@pytest.mark.parametrize("name", ["vp", "flow"])
def test_bits_per_dim_of_levels(name: str) -> None:
    # So wide a density is even over a level's cell, whose width is 1/8.
    torch.manual_seed(0)
    spec = SampleSpec("points", (2,), levels=17)
    level = torch.randint(17, (20, 2))
    model = continuous(name, spec, 0.0, 0.8)
    bits = model.bits_per_dim(Batch(level.byte()), probes=1)
    x, normal = spec.encode(level), torch.distributions.Normal(0.0, 0.8)
    probability = normal.cdf(x + 1 / 16) - normal.cdf(x - 1 / 16)
    expected = -probability.log2().mean()
    assert abs(float(bits.mean() - expected)) < 0.05
