"""Samplers against exact denoisers: their order of convergence, and what they have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import torch
from mixtures import CONTINUOUS, EVERY_ODE, GAUSSIAN, PAIR, f64, normal, refuse, scipy_ode
from torch import Tensor

from baselines.denoisers import Denoiser, score, velocity
from baselines.samplers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver2M,
    EulerMaruyama,
    HeunODE,
    Langevin,
    LearnedAncestral,
    PredictorCorrector,
    ReverseDiffusion,
    RungeKutta,
    Sampler,
    Solver,
    StochasticHeun,
    integrate,
    path,
    strided_times,
)
from baselines.schedules import VP, LinearBetas, NoiseLevels, Schedule, drift_and_diffusion

Build = Callable[[Denoiser, Schedule, int], Sampler | Solver]
"""Of a denoiser, its schedule and the number of steps."""


def learned_variance(denoise: Denoiser, schedule: Schedule, steps: int) -> Sampler:
    return LearnedAncestral(lambda x, t: (denoise(x, t), 0.3 + 0 * x), schedule)


STOCHASTIC: dict[str, Build] = {
    "ancestral": lambda d, schedule, n: Ancestral(d, schedule),
    "ancestral, β": lambda d, schedule, n: Ancestral(d, schedule, "beta"),
    "ancestral, learned": learned_variance,
    "ddim, eta 1": lambda d, schedule, n: DDIM(d, schedule, 1.0),
    "ddim, eta 0.5": lambda d, schedule, n: DDIM(d, schedule, 0.5),
    "euler-maruyama": lambda d, schedule, n: EulerMaruyama(d, schedule),
    "reverse diffusion": lambda d, schedule, n: ReverseDiffusion(d, schedule),
    "churn": lambda d, schedule, n: StochasticHeun(d, schedule, n, s_churn=8.0),
}
DETERMINISTIC: dict[str, Build] = {
    "ddim": lambda d, schedule, n: DDIM(d, schedule),
    "heun": lambda d, schedule, n: HeunODE(d, schedule),
    "dpm-solver++": lambda d, schedule, n: DPMSolver2M(d, schedule),
    "euler in t": lambda d, schedule, n: RungeKutta(d, schedule, "euler"),
    "midpoint in t": lambda d, schedule, n: RungeKutta(d, schedule, "midpoint"),
    "heun in t": lambda d, schedule, n: RungeKutta(d, schedule, "heun"),
}
ALL = STOCHASTIC | DETERMINISTIC
# Their correctors' steps do not shrink with the grid's.
CORRECTED: dict[str, Build] = {
    "langevin": lambda d, schedule, n: Langevin(d, schedule),
    "corrected": lambda d, schedule, n: PredictorCorrector(d, schedule),
    "ancestral, corrected": lambda d, schedule, n: PredictorCorrector(
        d, schedule, predictor=Ancestral
    ),
}
# Churn's noise is exact, so what is left is Heun's error.
SECOND = {"churn", "heun", "dpm-solver++", "midpoint in t", "heun in t"}
COUNTS = [30, 60, 90]


def between(steps: int) -> Tensor:
    """From 1/2 to 1/5: between the ends, where every schedule is smooth."""
    return 0.2 + 0.3 * torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def assert_order(name: str, errors: list[Tensor]) -> None:
    """Of errors at ``COUNTS`` steps."""
    slope = float((errors[0] / errors[-1]).log()) / math.log(COUNTS[-1] / COUNTS[0])
    assert abs(slope - (2 if name in SECOND else 1)) < 0.25, errors


# --- Gaussian data: a step is affine in x and the noise, so moments pass through it exactly. ---


def pass_moments(
    sampler: Sampler | Solver, times: Tensor, mean: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and covariance at ``times[-1]`` of x that starts with those given at ``times[0]``."""
    nothing, basis = torch.zeros(2, 2).double(), torch.eye(2).double()
    x = torch.cat([nothing[:1], basis, nothing])
    z = torch.cat([nothing[:1], nothing, basis])
    grids = [times] if isinstance(sampler, Solver) else times.unfold(0, 2, 1)
    for grid in grids:
        origin, linear, noise = integrate(sampler, x, grid, lambda _: z).split([1, 2, 2])
        linear, noise = (linear - origin).T, (noise - origin).T
        mean = linear @ mean + origin[0]
        covariance = linear @ covariance @ linear.T + noise @ noise.T
    return mean, covariance


def marginal(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    alpha, sigma = schedule(t)
    mean, covariance = GAUSSIAN.moments()
    return alpha * mean, alpha**2 * covariance + sigma**2 * torch.eye(2)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sde", CONTINUOUS)
def test_moments_of_a_gaussian_converge_at_the_order_of_the_sampler(name: str, sde: str) -> None:
    schedule = CONTINUOUS[sde]
    denoise = GAUSSIAN.denoiser(schedule)
    errors = []
    for steps in COUNTS:
        times = between(steps)
        sampler = ALL[name](denoise, schedule, steps)
        mean, covariance = pass_moments(sampler, times, *marginal(schedule, times[0]))
        true_mean, true_covariance = marginal(schedule, times[-1])
        errors.append((mean - true_mean).norm() + (covariance - true_covariance).norm())
    assert_order(name, errors)


@pytest.mark.parametrize("name", ["ancestral", "ancestral, learned", "ddim", "ddim, eta 0.5"])
def test_all_timesteps_of_ddpm_reproduce_a_gaussian(name: str) -> None:
    schedule = LinearBetas(1000)
    sampler = ALL[name](GAUSSIAN.denoiser(schedule), schedule, 1000)
    start = torch.zeros(2).double(), torch.eye(2).double()
    mean, covariance = pass_moments(sampler, strided_times(1000, 1000), *start)
    true_mean, true_covariance = GAUSSIAN.moments()
    torch.testing.assert_close(mean, true_mean, rtol=0, atol=0.01)
    torch.testing.assert_close(covariance, true_covariance, rtol=0, atol=0.01)


# --- A mixture: moments of many samples, and paths of the deterministic samplers. ---


@pytest.mark.parametrize("sde", CONTINUOUS)
@pytest.mark.parametrize("name", ["corrected", "ancestral, corrected", "euler-maruyama", "churn"])
def test_samples_of_a_mixture_have_its_moments(sde: str, name: str) -> None:
    torch.manual_seed(0)
    schedule = CONTINUOUS[sde]
    denoise = PAIR.denoiser(schedule)
    _, sigma_1 = schedule(f64(1.0)[0])
    x = sigma_1 * torch.randn(4000, 2, dtype=torch.float64)
    times = torch.linspace(1, 1e-3, 151, dtype=torch.float64)
    sampler = (ALL | CORRECTED)[name](denoise, schedule, 150)
    x_0 = denoise(integrate(sampler, x, times), times[-1])
    mean, covariance = PAIR.moments()
    # Standard errors of 4,000 samples are up to 0.012; the rest is room for 150 steps' bias.
    torch.testing.assert_close(x_0.mean(0), mean, rtol=0, atol=0.04)
    torch.testing.assert_close(x_0.T.cov(), covariance, rtol=0, atol=0.03)


@cache
def starts_and_ends(sde: str) -> tuple[Tensor, Tensor]:
    """Some points at t = 1/2, and where the ODE takes them by t = 1/5."""
    schedule = EVERY_ODE[sde]
    x = schedule(f64(0.5)[0])[1] * normal(8, 2)
    (ends,), _ = scipy_ode(PAIR.denoiser(schedule), schedule, x, between(1))
    return x, ends


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("sde", EVERY_ODE)
def test_paths_converge_at_the_order_of_the_sampler(name: str, sde: str) -> None:
    schedule = EVERY_ODE[sde]
    x, ends = starts_and_ends(sde)
    denoise = PAIR.denoiser(schedule)

    def error(steps: int) -> Tensor:
        sampler = DETERMINISTIC[name](denoise, schedule, steps)
        return (integrate(sampler, x, between(steps), refuse) - ends).norm()

    assert_order(name, [error(steps) for steps in COUNTS])


@pytest.mark.parametrize("sde", CONTINUOUS)
def test_velocity_is_the_drift_of_the_probability_flow_ode(sde: str) -> None:
    # Song et al. 2021, eq. 13: dx/dt = f x - g²/2 · score.
    schedule = CONTINUOUS[sde]
    x, t = normal(10, 2), torch.linspace(0.1, 1, 10, dtype=torch.float64)
    denoise = PAIR.denoiser(schedule)
    f, g2 = (c[:, None] for c in drift_and_diffusion(schedule, t))
    expected = f * x - g2 / 2 * score(denoise, schedule, x, t)
    torch.testing.assert_close(velocity(denoise, schedule, x, t), expected)


def test_velocity_of_straight_paths_is_noise_less_data() -> None:
    schedule = EVERY_ODE["ot"]
    x_0, noise = normal(2, 5, 3)
    for t in f64(0.2, 1.0):  # at 1 alpha is 0
        alpha, sigma = schedule(t)
        v = velocity(lambda x, t: x_0, schedule, alpha * x_0 + sigma * noise, t)
        torch.testing.assert_close(v, (1 - 1e-5) * noise - x_0)


@pytest.mark.parametrize("sde", CONTINUOUS)
def test_a_short_step_of_heun_follows_the_velocity(sde: str) -> None:
    schedule = CONTINUOUS[sde]
    denoise = PAIR.denoiser(schedule)
    x, (t, s) = normal(10, 2), f64(0.3, 0.3 - 1e-7)
    moved = HeunODE(denoise, schedule).step(x, t, s, refuse)
    expected = velocity(denoise, schedule, x, t)
    torch.testing.assert_close((moved - x) / (s - t), expected, rtol=1e-5, atol=1e-5)


# --- Limits: the discrete chain is DDIM with its noise, and both have an equation in the limit. ---


def test_ddim_with_eta_1_is_ancestral() -> None:
    schedule = LinearBetas(100)
    denoise = PAIR.denoiser(schedule)
    x, noise = normal(2, 5, 2)
    for t, s in pairwise(strided_times(100, 100)):
        ddim = DDIM(denoise, schedule, 1.0).step(x, t, s, lambda _: noise)
        ancestral = Ancestral(denoise, schedule).step(x, t, s, lambda _: noise)
        torch.testing.assert_close(ddim, ancestral)


def test_ddim_on_ddpm_s_timesteps_tends_to_the_ode_of_vp() -> None:
    x, ends = starts_and_ends("vp")

    def error(timesteps: int) -> Tensor:
        schedule = LinearBetas(timesteps)
        times = torch.arange(timesteps // 2, timesteps // 5 - 1, -1)
        return (integrate(DDIM(PAIR.denoiser(schedule), schedule), x, times, refuse) - ends).norm()

    assert_order("ddim", [error(10 * count) for count in COUNTS])


@pytest.mark.parametrize("name", ["ancestral", "ancestral, β", "reverse diffusion"])
def test_every_chain_tends_to_the_reverse_sde_of_its_noise(name: str) -> None:
    schedule = VP()
    denoise = PAIR.denoiser(schedule)

    def distance(steps: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        noises = torch.randn(steps, 200, 2, dtype=torch.float64, generator=generator)
        x = schedule(f64(0.5)[0])[1] * normal(200, 2)
        ends = []
        for sampler in (ALL[name](denoise, schedule, steps), EulerMaruyama(denoise, schedule)):
            draw = iter(noises)
            ends.append(integrate(sampler, x, between(steps), lambda _, draw=draw: next(draw)))
        return (ends[0] - ends[1]).square().mean().sqrt()

    assert_order(name, [distance(steps) for steps in COUNTS])


@pytest.mark.parametrize("sde", EVERY_ODE)
def test_without_churn_stochastic_heun_is_heun(sde: str) -> None:
    schedule = EVERY_ODE[sde]
    denoise, x, times = PAIR.denoiser(schedule), normal(5, 2), between(3)
    still = integrate(StochasticHeun(denoise, schedule, 3), x, times, refuse)
    assert torch.equal(still, integrate(HeunODE(denoise, schedule), x, times))


# --- Conventions. ---


@pytest.mark.parametrize("name", [*ALL, *CORRECTED, "adaptive"])
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    schedule = VP()
    x, noise = normal(2, 5, 2)
    times = between(4)
    adaptive: dict[str, Build] = {"adaptive": lambda d, schedule, n: DormandPrince(d, schedule)}
    sampler = (ALL | CORRECTED | adaptive)[name](PAIR.denoiser(schedule), schedule, 4)
    together = integrate(sampler, x, times, lambda _: noise)
    alone = integrate(sampler, x[2:3], times, lambda _: noise[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm-solver++"])
def test_a_path_passes_the_grid_and_ends_in_the_sample(name: str) -> None:
    schedule = VP()
    sampler = ALL[name](PAIR.denoiser(schedule), schedule, 4)
    x, times = normal(3, 2), between(4)
    torch.manual_seed(0)
    passed = list(path(sampler, x, times))
    torch.manual_seed(0)
    assert len(passed) == 4
    assert torch.equal(passed[-1], integrate(sampler, x, times))
    assert torch.equal(integrate(sampler, x, times[:1]), x)
    if isinstance(sampler, DDIM):
        assert torch.equal(passed[1], integrate(sampler, x, times[:3]))


@pytest.mark.parametrize(
    "name", ["ancestral", "ancestral, β", "ancestral, learned", "ddim", "heun", "dpm-solver++"]
)
def test_the_last_step_returns_the_denoised_sample(name: str) -> None:
    schedule = LinearBetas(100)
    denoise = PAIR.denoiser(schedule)
    x = normal(5, 2)
    times = torch.tensor([3, 0])
    result = integrate(ALL[name](denoise, schedule, 1), x, times, refuse)
    torch.testing.assert_close(result, denoise(x, times[0]))


def test_heun_s_last_step_in_t_returns_it_too_where_sigma_is_t() -> None:
    schedule = NoiseLevels()
    denoise = PAIR.denoiser(schedule)
    x, (t, s) = normal(5, 2), f64(0.4, 0.0)
    result = RungeKutta(denoise, schedule, "heun").step(x, t, s, refuse)
    torch.testing.assert_close(result, denoise(x, t))


def test_dpm_solver_starts_where_nothing_of_the_data_is_left() -> None:
    """Where alpha is 0: λ = -∞."""
    schedule = EVERY_ODE["ot"]
    denoise, x = PAIR.denoiser(schedule), normal(5, 2)
    times = torch.linspace(1, 0, 201, dtype=torch.float64)
    (ends,), _ = scipy_ode(denoise, schedule, x, times[[0, -1]])
    result = integrate(DPMSolver2M(denoise, schedule), x, times)
    torch.testing.assert_close(result, ends, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("timesteps", "steps"), [(1000, 1000), (1000, 50), (1000, 400), (250, 7), (30, 29), (30, 1)]
)
def test_strided_times_run_from_the_last_timestep_to_0(timesteps: int, steps: int) -> None:
    linear, quadratic = (strided_times(timesteps, steps, how) for how in ("linear", "quadratic"))
    for times in (linear, quadratic):
        assert len(times) == steps + 1
        assert (times[0], times[-1]) == (timesteps, 0)
        assert (times[:-1] > times[1:]).all()
    gaps = linear[:-1] - linear[1:]
    assert gaps.max() - gaps.min() <= 1
    assert (quadratic <= linear).all()


def test_quadratic_times_are_squares() -> None:
    assert strided_times(1000, 10, "quadratic").tolist() == [10 * i * i for i in range(10, -1, -1)]
