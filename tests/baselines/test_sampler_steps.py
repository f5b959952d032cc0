"""Samplers step by step: against diffusers' schedulers, and formulas written out of the papers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    ScoreSdeVeScheduler,
)
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler
from mixtures import CONTINUOUS, PAIR, f64, normal, refuse, to_epsilon
from torch import Tensor

from baselines.predictions import EPSILON
from baselines.samplers import (
    DDIM,
    Ancestral,
    DPMSolver2M,
    EulerMaruyama,
    HeunODE,
    Langevin,
    LearnedAncestral,
    ReverseDiffusion,
    RungeKutta,
    StochasticHeun,
    integrate,
    path,
    strided_times,
)
from baselines.samplers.heun import time_of_ratio
from baselines.schedules import VE, VP, LinearBetas, NoiseLevels, OptimalTransport, Schedule


class Script:
    """A "network" that says a fixed ε for whatever it is asked, as diffusers' steps take it."""

    def __init__(self, schedule: Schedule, epsilon: Tensor) -> None:
        self.schedule, self.epsilon = schedule, epsilon

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        return EPSILON.denoised(self.schedule, self.epsilon, x_t, t)


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    """x_t and ε̂, a batch of one, in float32."""
    x, epsilon = normal(2, 1, 3, 4, 4).float()
    return x, epsilon


def noisy_steps(times: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Those that do not end at 0. diffusers adds noise to one that does, unless it begins at 1;
    the released code of Nichol & Dhariwal 2021 never does."""
    return [(t, s) for t, s in some_steps(times) if s > 0 or t == 1]


def some_steps(times: Tensor) -> list[tuple[Tensor, Tensor]]:
    """About 20 of them, and the last."""
    steps = list(pairwise(times))
    return [*steps[:: max(1, len(steps) // 20)], steps[-1]]


def diffusers_noise(seed: int, x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


# --- DDPM's chain. ---


@pytest.mark.parametrize(
    ("variance", "their_name"), [("posterior", "fixed_small"), ("beta", "fixed_large")]
)
@pytest.mark.parametrize("steps", [1000, 50, 7])
def test_ancestral_steps_equal_diffusers(
    pictures: tuple[Tensor, Tensor], steps: int, variance: str, their_name: str
) -> None:
    x, epsilon = pictures
    theirs = DDPMScheduler(1000, variance_type=their_name, clip_sample=False)
    times = strided_times(1000, steps)
    theirs.set_timesteps(timesteps=(times[:-1] - 1).tolist())
    schedule = LinearBetas(1000)
    ours = Ancestral(Script(schedule, epsilon), schedule, variance)
    for t, s in noisy_steps(times):
        generator = torch.Generator().manual_seed(int(t))
        expected = theirs.step(epsilon, int(t) - 1, x, generator=generator).prev_sample
        close(ours.step(x, t, s, lambda x, t=t: diffusers_noise(int(t), x)), expected)


@pytest.mark.parametrize("steps", [1000, 50])
def test_ancestral_steps_with_learned_variances_equal_diffusers(
    pictures: tuple[Tensor, Tensor], steps: int
) -> None:
    x, epsilon = pictures
    # Their network says v from -1 to 1.
    v = torch.linspace(-1, 1, x.numel()).view_as(x)
    theirs = DDPMScheduler(1000, variance_type="learned_range", clip_sample=False)
    times = strided_times(1000, steps)
    theirs.set_timesteps(timesteps=(times[:-1] - 1).tolist())
    schedule = LinearBetas(1000)
    script = Script(schedule, epsilon)
    ours = LearnedAncestral(lambda x_t, t: (script(x_t, t), (v + 1) / 2), schedule)
    for t, s in noisy_steps(times):
        generator = torch.Generator().manual_seed(int(t))
        output = torch.cat([epsilon, v], dim=1)
        expected = theirs.step(output, int(t) - 1, x, generator=generator).prev_sample
        close(ours.step(x, t, s, lambda x, t=t: diffusers_noise(int(t), x)), expected)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50, 1000])
def test_ddim_steps_equal_diffusers(
    pictures: tuple[Tensor, Tensor], steps: int, eta: float
) -> None:
    x, epsilon = pictures
    theirs = DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing")
    theirs.set_timesteps(steps)
    times = strided_times(1000, steps)
    assert (times[:-1] - 1).tolist() == theirs.timesteps.tolist()
    schedule = LinearBetas(1000)
    ours = DDIM(Script(schedule, epsilon), schedule, eta)
    for t, s in some_steps(times):
        noise = diffusers_noise(int(t), x)
        expected = theirs.step(epsilon, int(t) - 1, x, eta, variance_noise=noise if eta else None)
        close(ours.step(x, t, s, lambda _, noise=noise: noise), expected.prev_sample)


def test_a_path_of_ddim_equals_diffusers() -> None:
    theirs = DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing")
    theirs.set_timesteps(50)
    schedule = LinearBetas(1000)
    denoise, x = PAIR.denoiser(schedule), normal(1, 2)
    ours = integrate(DDIM(denoise, schedule), x, strided_times(1000, 50), refuse)
    for t in theirs.timesteps:
        epsilon = to_epsilon(schedule, denoise(x, t + 1), x, t + 1)
        x = theirs.step(epsilon, int(t), x).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-4)


# --- Song et al. 2021. ---


def test_ancestral_step_of_ve_by_hand() -> None:
    # Eq. 47: x + (σ_i² - σ_{i-1}²) s + √(σ_{i-1}² (σ_i² - σ_{i-1}²) / σ_i²) z.
    schedule = VE(0.01, 50.0)
    x, z, score = normal(3, 5, 2)
    t, s = f64(0.6, 0.5)
    here, below = 0.01 * 5000**0.6, 0.01 * 5000**0.5
    ours = Ancestral(Script(schedule, -here * score), schedule).step(x, t, s, lambda _: z)
    gap = here**2 - below**2
    expected = x + gap * score + math.sqrt(below**2 * gap / here**2) * z
    torch.testing.assert_close(ours, expected)


def test_ancestral_step_of_vp_by_hand() -> None:
    # Eq. 4: (x + β s) / √(1 - β) + √β z, with 1 - β the share of alpha² that is left.
    schedule = VP()
    x, z, score = normal(3, 5, 2)
    t, s = f64(0.6, 0.5)
    beta = 1 - math.exp(-(0.1 * 0.1 + 19.9 * (0.6**2 - 0.5**2) / 2))
    script = Script(schedule, -schedule(t)[1] * score)
    ours = Ancestral(script, schedule, "beta").step(x, t, s, lambda _: z)
    torch.testing.assert_close(ours, (x + beta * score) / math.sqrt(1 - beta) + math.sqrt(beta) * z)


def test_euler_maruyama_steps_equal_diffusers_vp(pictures: tuple[Tensor, Tensor]) -> None:
    x, epsilon = pictures
    theirs = ScoreSdeVpScheduler()
    theirs.set_timesteps(100)
    schedule = VP()
    ours = EulerMaruyama(Script(schedule, epsilon), schedule)
    # Nearer to t = 0 their 1 - exp(…) in float32 has lost digits.
    for t in theirs.timesteps[:90:9]:
        expected, _ = theirs.step_pred(epsilon, x, t, torch.Generator().manual_seed(1))
        time = t.double()
        close(ours.step(x, time, time - 0.01, lambda x: diffusers_noise(1, x)), expected)


@pytest.fixture
def ve() -> ScoreSdeVeScheduler:
    return ScoreSdeVeScheduler(100, snr=0.16, sigma_min=0.01, sigma_max=50.0)


def test_reverse_diffusion_steps_equal_diffusers_ve(
    ve: ScoreSdeVeScheduler, pictures: tuple[Tensor, Tensor]
) -> None:
    x, epsilon = pictures
    schedule = VE(0.01, 50.0)
    ours = ReverseDiffusion(Script(schedule, epsilon), schedule)
    for index in (1, 10, 50, 98):
        t, s = f64(index / 99, (index - 1) / 99)
        score = -epsilon / schedule(t)[1]
        # Halfway to the next index, since diffusers rounds index / 99 * 99 down.
        generator = torch.Generator().manual_seed(1)
        expected = ve.step_pred(score, (index + 0.5) / 99, x, generator).prev_sample
        close(ours.step(x, t, s, lambda x: diffusers_noise(1, x)), expected)


def test_langevin_steps_equal_diffusers_ve(
    ve: ScoreSdeVeScheduler, pictures: tuple[Tensor, Tensor]
) -> None:
    x, epsilon = pictures
    schedule = VE(0.01, 50.0)
    ours = Langevin(Script(schedule, epsilon), schedule, snr=0.16)
    for index in (1, 10, 50, 98):
        t, s = f64(index / 99, (index - 1) / 99)
        score = -epsilon / schedule(t)[1]
        expected = ve.step_correct(score, x, torch.Generator().manual_seed(1)).prev_sample
        close(ours.step(x, t, s, lambda x: diffusers_noise(1, x)), expected)


# --- Solvers of the ODE: whole paths, since diffusers' carry something over them. ---


def walk(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> None:
    for x, expected in zip(ours, theirs, strict=True):
        close(x.float(), expected.float())


@pytest.mark.parametrize("steps", [3, 10, 25])
def test_paths_of_dpm_solver_equal_diffusers(steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(
        1000,
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        final_sigmas_type="zero",
        beta_start=1e-4,
        beta_end=0.02,
    )
    scheduler.set_timesteps(steps)
    schedule = LinearBetas(1000)
    times = strided_times(1000, steps)
    assert (times[:-1] - 1).tolist() == scheduler.timesteps.tolist()
    denoise, start = PAIR.denoiser(schedule), normal(4, 2)

    def theirs(x: Tensor) -> Iterable[Tensor]:
        for t in scheduler.timesteps:
            epsilon = to_epsilon(schedule, denoise(x, t + 1), x, t + 1)
            x = scheduler.step(epsilon, t, x).prev_sample
            yield x

    walk(path(DPMSolver2M(denoise, schedule), start, times), theirs(start))


@pytest.mark.parametrize("name", ["dpm-solver++", "euler in t", "ddim"])
def test_paths_over_noise_levels_equal_diffusers_edm(name: str) -> None:
    schedule = NoiseLevels()
    denoise, start = PAIR.denoiser(schedule), 80 * normal(4, 2)
    times = torch.cat([schedule.at(torch.linspace(1, 0, 18, dtype=torch.float64)), f64(0.0)])
    build = EDMDPMSolverMultistepScheduler if name == "dpm-solver++" else EDMEulerScheduler
    scheduler = build(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5)
    scheduler.set_timesteps(18)
    torch.testing.assert_close(times.float(), scheduler.sigmas)

    def theirs(x: Tensor) -> Iterable[Tensor]:
        for time, sigma in zip(scheduler.timesteps, times, strict=False):
            # The network's F, of which they make D = c_skip x + c_out F.
            c_skip = 0.25 / (sigma**2 + 0.25)
            c_out = sigma * 0.5 / (sigma**2 + 0.25).sqrt()
            scheduler.scale_model_input(x, time)
            x = scheduler.step((denoise(x, sigma) - c_skip * x) / c_out, time, x).prev_sample
            yield x

    ours = {
        "dpm-solver++": DPMSolver2M(denoise, schedule),
        "euler in t": RungeKutta(denoise, schedule, "euler"),
        "ddim": DDIM(denoise, schedule),
    }[name]
    walk(path(ours, start, times), theirs(start))


@pytest.mark.parametrize("name", ["heun", "ddim"])
def test_paths_over_sigma_equal_diffusers_discrete(name: str) -> None:
    """Where x/alpha is what is carried."""
    build = HeunDiscreteScheduler if name == "heun" else EulerDiscreteScheduler
    scheduler = build(1000, beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    schedule = LinearBetas(1000)
    denoise, start, times = PAIR.denoiser(schedule), normal(4, 2), strided_times(1000, 20)

    def theirs(x: Tensor) -> Iterable[Tensor]:
        x = x / schedule(times[0])[0]
        for t in scheduler.timesteps:
            time = t.long() + 1
            x_t = x * schedule(time)[0]
            epsilon = to_epsilon(schedule, denoise(x_t, time), x_t, time)
            scheduler.scale_model_input(x, t)
            x = scheduler.step(epsilon, t, x).prev_sample
            # Heun's first evaluation of two makes no step, but for the last.
            if name == "ddim" or scheduler.state_in_first_order or t == scheduler.timesteps[-1]:
                yield x

    ours = {"heun": HeunODE(denoise, schedule), "ddim": DDIM(denoise, schedule)}[name]
    alphas, _ = schedule(times[1:])
    scaled = (x / alpha for x, alpha in zip(path(ours, start, times), alphas, strict=True))
    walk(scaled, theirs(start))


def test_paths_of_flow_matching_equal_diffusers() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(1000)
    times = torch.linspace(1, 0, 21, dtype=torch.float64)
    scheduler.set_timesteps(sigmas=times[:-1].tolist())
    schedule = OptimalTransport(0.0)
    denoise, start = PAIR.denoiser(schedule), normal(4, 2)

    def theirs(x: Tensor) -> Iterable[Tensor]:
        for time, t in zip(scheduler.timesteps, times[:-1], strict=True):
            x_0 = denoise(x, t)
            x = scheduler.step((x - x_0) / t, time, x).prev_sample  # v = ε - x_0
            yield x

    walk(path(RungeKutta(denoise, schedule, "euler"), start, times), theirs(start))


# --- Karras et al. 2022, algorithm 2, in plain numbers. ---

SIGMAS = [8.0, 2.5, 0.9, 0.3, 0.06, 0.0]


def denoised(x: float, sigma: float) -> float:
    """Of data from N(0.3, 0.5²)."""
    return (0.3 * sigma**2 + 0.25 * x) / (sigma**2 + 0.25)


def algorithm_2(x: float, noises: list[float]) -> list[float]:
    """With S_churn = 2, S_min = 0.1, S_max = 5, S_noise = 1.007."""
    passed = []
    n = len(SIGMAS) - 1
    for i, (t, t_next) in enumerate(pairwise(SIGMAS)):
        gamma = min(2 / n, math.sqrt(2) - 1) if 0.1 <= t <= 5 else 0
        t_hat = t + gamma * t
        x_hat = x + math.sqrt(t_hat**2 - t**2) * 1.007 * noises[i]
        d = (x_hat - denoised(x_hat, t_hat)) / t_hat
        x = x_hat + (t_next - t_hat) * d
        if t_next != 0:
            d_next = (x - denoised(x, t_next)) / t_next
            x = x_hat + (t_next - t_hat) * (d / 2 + d_next / 2)
        passed.append(x)
    return passed


@pytest.mark.parametrize("name", ["edm", *CONTINUOUS])
def test_stochastic_heun_is_algorithm_2_of_karras(name: str) -> None:
    """At the times of these sigma/alpha, for x/alpha, whatever the schedule."""
    schedule = (CONTINUOUS | {"edm": NoiseLevels()})[name]

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = schedule(t)
        return (0.3 * (sigma / alpha) ** 2 + 0.25 * x_t / alpha) / ((sigma / alpha) ** 2 + 0.25)

    noises, start = normal(5), 3.7
    expected = algorithm_2(start, noises.tolist())
    sampler = StochasticHeun(denoise, schedule, 5, 2.0, 0.1, 5.0, 1.007)
    levels = SIGMAS if name == "edm" else SIGMAS[:-1]  # VE has no sigma of 0
    times = [f64(level)[0] if name == "edm" else time_at(schedule, level) for level in levels]
    x = start * schedule(times[0])[0].view(1, 1)
    for i, (t, s) in enumerate(pairwise(times)):
        x = sampler.step(x, t, s, lambda x, i=i: noises[i].expand_as(x))
        assert float(x / schedule(s)[0]) == pytest.approx(expected[i], rel=1e-10)


def time_at(schedule: Schedule, ratio: float) -> Tensor:
    """By halving: sigma_t/alpha_t = ratio."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        alpha, sigma = schedule(f64(middle)[0])
        low, high = (middle, high) if sigma / alpha < ratio else (low, middle)
    return f64(high)[0]


def test_the_last_churned_step_equals_diffusers(pictures: tuple[Tensor, Tensor]) -> None:
    """Whose EDM sampler is Euler's, and its last step therefore algorithm 2's."""
    x, output = pictures
    scheduler = EDMEulerScheduler(sigma_min=0.4, sigma_max=80.0, sigma_data=0.5)
    scheduler.set_timesteps(6)
    scheduler.set_begin_index(5)
    scheduler.is_scale_input_called = True
    generator = torch.Generator().manual_seed(1)
    expected = scheduler.step(
        output, scheduler.timesteps[5], x, s_churn=2.0, s_noise=1.003, generator=generator
    ).prev_sample

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return 0.25 / (t**2 + 0.25) * x_t + t * 0.5 / (t**2 + 0.25).sqrt() * output

    sampler = StochasticHeun(denoise, NoiseLevels(), 6, s_churn=2.0, s_noise=1.003)
    close(sampler.step(x, f64(0.4)[0], f64(0.0)[0], lambda x: diffusers_noise(1, x)), expected)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_time_of_a_ratio_is_found(name: str) -> None:
    schedule = CONTINUOUS[name]
    for t in f64(1e-4, 0.2, 1.0):
        alpha, sigma = schedule(t)
        ratio = 1.4 * float(sigma / alpha)
        later = time_of_ratio(schedule, ratio, t)
        alpha, sigma = schedule(later)
        assert later > t
        assert float(sigma / alpha) == pytest.approx(ratio, rel=1e-12)
