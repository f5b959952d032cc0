"""Samplers against exact denoisers, their order of convergence, and diffusers' schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, ScoreSdeVeScheduler
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler
from torch import Tensor

from baselines.denoisers import Denoiser, from_epsilon, to_epsilon, to_score
from baselines.samplers import (
    DDIM,
    Ancestral,
    EulerMaruyama,
    HeunODE,
    Langevin,
    PredictorCorrector,
    ReverseDiffusion,
    Sampler,
    integrate,
    strided_times,
)
from baselines.schedules import VE, VP, LinearBetas, Schedule, SubVP, drift_and_diffusion

Build = Callable[[Denoiser, Schedule], Sampler]

STOCHASTIC: dict[str, Build] = {
    "ancestral": Ancestral,
    "ddim, eta 1": lambda denoise, schedule: DDIM(denoise, schedule, 1.0),
    "ddim, eta 0.5": lambda denoise, schedule: DDIM(denoise, schedule, 0.5),
    "euler-maruyama": EulerMaruyama,
    "reverse diffusion": ReverseDiffusion,
}
DETERMINISTIC: dict[str, Build] = {"ddim": DDIM, "heun": HeunODE}
ORDER = {"heun": 2} | dict.fromkeys(["ddim", *STOCHASTIC], 1)
CONTINUOUS = {"vp": VP(), "subvp": SubVP(), "ve": VE(0.01, 10.0)}


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight in D dimensions: means ``(K, D)``, covariances ``(K, D, D)``."""

    means: Tensor
    covariances: Tensor

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """E[x_0 | x_t] = Σ_k p(k | x_t) (m_k + alpha C_k S_k⁻¹ (x_t - alpha m_k)), with
        S_k = alpha² C_k + sigma² I the covariance of x_t in the k-th mode."""

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = (c.view(-1, 1, 1) for c in schedule(t))
            spread = alpha[..., None] ** 2 * self.covariances
            spread = spread + sigma[..., None] ** 2 * torch.eye(self.means.shape[1])
            off = x_t[:, None] - alpha * self.means
            white = torch.linalg.solve(spread, off[..., None])[..., 0]
            log_weight = -((off * white).sum(-1) + torch.logdet(spread)) / 2
            moved = torch.einsum("kij,bkj->bki", self.covariances, white)
            posterior = self.means + alpha * moved
            return (log_weight.softmax(1)[..., None] * posterior).sum(1)

        return denoise

    def moments(self) -> tuple[Tensor, Tensor]:
        mean = self.means.mean(0)
        between = torch.einsum("ki,kj->ij", self.means - mean, self.means - mean)
        return mean, self.covariances.mean(0) + between / len(self.means)


GAUSSIAN = Mixture(f64(0.3, -0.2)[None], f64(0.5, 0.2, 0.2, 0.1).view(1, 2, 2))
PAIR = Mixture(
    torch.stack([f64(0.8, 0.1), f64(-0.6, -0.3)]),
    torch.stack([f64(0.04, 0.02, 0.02, 0.05), f64(0.02, 0.0, 0.0, 0.09)]).view(2, 2, 2),
)


def linear_times(steps: int, end: float) -> Tensor:
    return torch.linspace(1, end, steps + 1, dtype=torch.float64)


def refuse(x: Tensor) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


# --- Gaussian data: a step is affine in x and the noise, so moments pass through it exactly. ---


def pass_moments(
    sampler: Sampler, times: Tensor, mean: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and covariance at ``times[-1]`` of x that starts with those given at ``times[0]``."""
    basis = torch.eye(2, dtype=torch.float64)
    for t, s in pairwise(times):
        origin = sampler.step(torch.zeros(1, 2).double(), t, s, torch.zeros_like)
        linear = (sampler.step(basis, t, s, torch.zeros_like) - origin).T
        noise = (
            sampler.step(torch.zeros(2, 2).double(), t, s, lambda x: torch.eye(2).double()) - origin
        ).T
        mean = linear @ mean + origin[0]
        covariance = linear @ covariance @ linear.T + noise @ noise.T
    return mean, covariance


def marginal(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    alpha, sigma = schedule(t)
    mean, covariance = GAUSSIAN.moments()
    return alpha * mean, alpha**2 * covariance + sigma**2 * torch.eye(2)


@pytest.mark.parametrize("name", [*STOCHASTIC, *DETERMINISTIC])
@pytest.mark.parametrize("sde", CONTINUOUS)
def test_moments_of_a_gaussian_converge_at_the_order_of_the_sampler(name: str, sde: str) -> None:
    schedule = CONTINUOUS[sde]
    sampler = (STOCHASTIC | DETERMINISTIC)[name](GAUSSIAN.denoiser(schedule), schedule)
    # From 1/2 to 1/5: between the ends, where every schedule is smooth.
    counts = [40, 80, 160]
    errors = []
    for steps in counts:
        times = 0.2 + 0.3 * torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        mean, covariance = pass_moments(sampler, times, *marginal(schedule, times[0]))
        true_mean, true_covariance = marginal(schedule, times[-1])
        errors.append((mean - true_mean).norm() + (covariance - true_covariance).norm())
    slope = (errors[0] / errors[-1]).log() / math.log(counts[-1] / counts[0])
    assert abs(float(slope) - ORDER[name]) < 0.25, errors


@pytest.mark.parametrize("name", ["ancestral", "ddim", "ddim, eta 0.5", "ddim, eta 1"])
def test_all_timesteps_of_ddpm_reproduce_a_gaussian(name: str) -> None:
    schedule = LinearBetas(1000)
    sampler = (STOCHASTIC | DETERMINISTIC)[name](GAUSSIAN.denoiser(schedule), schedule)
    start = torch.zeros(2).double(), torch.eye(2).double()
    mean, covariance = pass_moments(sampler, strided_times(1000, 1000), *start)
    true_mean, true_covariance = GAUSSIAN.moments()
    torch.testing.assert_close(mean, true_mean, rtol=0, atol=0.01)
    torch.testing.assert_close(covariance, true_covariance, rtol=0, atol=0.01)


# --- A mixture: moments of many samples, and paths of the deterministic samplers. ---


@pytest.mark.parametrize("sde", CONTINUOUS)
@pytest.mark.parametrize(
    "build", [EulerMaruyama, PredictorCorrector, HeunODE, DDIM], ids=lambda b: b.__name__
)
def test_samples_of_a_mixture_have_its_moments(sde: str, build: Build) -> None:
    torch.manual_seed(0)
    schedule = CONTINUOUS[sde]
    denoise = PAIR.denoiser(schedule)
    _, sigma_1 = schedule(f64(1.0)[0])
    x = sigma_1 * torch.randn(4000, 2, dtype=torch.float64)
    times = linear_times(150, 1e-3)
    x_0 = denoise(integrate(build(denoise, schedule), x, times), times[-1])
    mean, covariance = PAIR.moments()
    # Standard errors of 4,000 samples are up to 0.012; the rest is room for 150 steps' bias.
    torch.testing.assert_close(x_0.mean(0), mean, rtol=0, atol=0.04)
    torch.testing.assert_close(x_0.T.cov(), covariance, rtol=0, atol=0.03)


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("sde", CONTINUOUS)
def test_paths_converge_at_the_order_of_the_sampler(name: str, sde: str) -> None:
    schedule = CONTINUOUS[sde]
    denoise = PAIR.denoiser(schedule)
    sampler = DETERMINISTIC[name](denoise, schedule)
    generator = torch.Generator().manual_seed(0)
    _, sigma = schedule(f64(0.5)[0])
    x = sigma * torch.randn(20, 2, dtype=torch.float64, generator=generator)

    def end(steps: int, method: Sampler) -> Tensor:
        times = 0.2 + 0.3 * torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        return integrate(method, x, times, refuse)

    reference = end(800, HeunODE(denoise, schedule))
    coarse, fine = ((end(n, sampler) - reference).norm() for n in (50, 200))
    assert abs(float((coarse / fine).log()) / math.log(4) - ORDER[name]) < 0.25


@pytest.mark.parametrize("sde", CONTINUOUS)
def test_heun_follows_the_probability_flow_ode(sde: str) -> None:
    # Song et al. 2021, eq. 13: dx/dt = f x - g²/2 · score, by the slope of a short step.
    schedule = CONTINUOUS[sde]
    denoise = PAIR.denoiser(schedule)
    x = torch.randn(10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t, s = f64(0.3, 0.3 - 1e-7)
    f, g2 = drift_and_diffusion(schedule, t)
    velocity = f * x - g2 / 2 * to_score(schedule, denoise(x, t), x, t)
    moved = HeunODE(denoise, schedule).step(x, t, s, refuse)
    torch.testing.assert_close((moved - x) / (s - t), velocity, rtol=1e-5, atol=1e-5)


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
    x, z, g = torch.randn(3, 1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = schedule(t)[1]
    corrector = Langevin(Script(schedule, -sigma * g), schedule, snr=0.2)
    survival = math.exp(-(0.1 * 0.1 + 19.9 * (0.5**2 - 0.4**2) / 2))
    step = 2 * survival * (0.2 * z.norm() / g.norm()) ** 2
    expected = x + step * g + (2 * step).sqrt() * z
    torch.testing.assert_close(corrector.step(x, t, s, lambda _: z), expected)


def test_langevin_step_at_a_score_of_zero_is_finite() -> None:
    """Where x_t is its own denoised sample, as an untrained network may say."""
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    corrector = Langevin(lambda x_t, t: x_t, VE(0.01, 50.0))
    assert (
        corrector.step(x, torch.tensor(0.5), torch.tensor(0.4), torch.randn_like).isfinite().all()
    )


def test_predictor_corrector_corrects_and_then_predicts() -> None:
    schedule = VP()
    denoise = PAIR.denoiser(schedule)
    x, *noises = torch.randn(3, 5, 2, dtype=torch.float64).unbind()
    t, s = f64(0.5, 0.4)
    corrected = Langevin(denoise, schedule, 0.3).step(x, t, s, lambda _: noises[0])
    expected = ReverseDiffusion(denoise, schedule).step(corrected, t, s, lambda _: noises[1])
    draw = iter(noises)
    result = PredictorCorrector(denoise, schedule, 0.3).step(x, t, s, lambda _: next(draw))
    torch.testing.assert_close(result, expected)


# --- Each sample by itself. ---


@pytest.mark.parametrize(
    "build",
    [Ancestral, DDIM, EulerMaruyama, ReverseDiffusion, Langevin, PredictorCorrector, HeunODE],
    ids=lambda build: build.__name__,
)
def test_a_sample_does_not_depend_on_its_batch(build: Build) -> None:
    schedule = VP()
    sampler = build(PAIR.denoiser(schedule), schedule)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 2, dtype=torch.float64, generator=generator)
    noise = torch.randn(5, 2, dtype=torch.float64, generator=generator)
    t, s = f64(0.6, 0.5)
    together = sampler.step(x, t, s, lambda _: noise)
    alone = sampler.step(x[2:3], t, s, lambda _: noise[2:3])
    torch.testing.assert_close(together[2:3], alone)


# --- diffusers, step by step, in float32. ---


class Script:
    """A "network" that says a fixed ε for whatever it is asked, as diffusers' steps take it."""

    def __init__(self, schedule: Schedule, epsilon: Tensor) -> None:
        self.schedule, self.epsilon = schedule, epsilon

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        return from_epsilon(self.schedule, self.epsilon, x_t, t)


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    """x_t and ε̂, a batch of one."""
    x, epsilon = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return x, epsilon


def some_steps(times: Tensor) -> list[tuple[Tensor, Tensor]]:
    """About 20 of them, and the last."""
    steps = list(pairwise(times))
    return [*steps[:: max(1, len(steps) // 20)], steps[-1]]


def diffusers_noise(seed: int, x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1000, 50, 7])
def test_ancestral_steps_equal_diffusers(pictures: tuple[Tensor, Tensor], steps: int) -> None:
    x, epsilon = pictures
    theirs = DDPMScheduler(1000, variance_type="fixed_small", clip_sample=False)
    times = strided_times(1000, steps)
    theirs.set_timesteps(timesteps=(times[:-1] - 1).tolist())
    schedule = LinearBetas(1000)
    ours = Ancestral(Script(schedule, epsilon), schedule)
    for t, s in some_steps(times):
        generator = torch.Generator().manual_seed(int(t))
        expected = theirs.step(epsilon, int(t) - 1, x, generator=generator).prev_sample
        result = ours.step(x, t, s, lambda x, t=t: diffusers_noise(int(t), x))
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


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
        result = ours.step(x, t, s, lambda _, noise=noise: noise)
        torch.testing.assert_close(result, expected.prev_sample, rtol=1e-5, atol=1e-5)


def test_a_path_of_ddim_equals_diffusers() -> None:
    theirs = DDIMScheduler(1000, clip_sample=False, timestep_spacing="trailing")
    theirs.set_timesteps(50)
    schedule = LinearBetas(1000)
    denoise = PAIR.denoiser(schedule)
    x = torch.randn(1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = integrate(DDIM(denoise, schedule), x, strided_times(1000, 50), refuse)
    for t in theirs.timesteps:
        epsilon = to_epsilon(schedule, denoise(x, t + 1), x, t + 1)
        x = theirs.step(epsilon, int(t), x).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-4)


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
        result = ours.step(x, time, time - 0.01, lambda x: diffusers_noise(1, x))
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


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
        result = ours.step(x, t, s, lambda x: diffusers_noise(1, x))
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


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
        result = ours.step(x, t, s, lambda x: diffusers_noise(1, x))
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


# --- Conventions. ---


def test_ddim_with_eta_1_is_ancestral() -> None:
    schedule = LinearBetas(100)
    denoise = PAIR.denoiser(schedule)
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = x.flip(0)
    for t, s in pairwise(strided_times(100, 100)):
        ddim = DDIM(denoise, schedule, 1.0).step(x, t, s, lambda _: noise)
        ancestral = Ancestral(denoise, schedule).step(x, t, s, lambda _: noise)
        torch.testing.assert_close(ddim, ancestral)


@pytest.mark.parametrize("build", [Ancestral, DDIM])
def test_the_last_step_returns_the_denoised_sample(build: Build) -> None:
    schedule = LinearBetas(100)
    denoise = PAIR.denoiser(schedule)
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t, s = torch.tensor([3, 0])
    result = build(denoise, schedule).step(x, t, s, refuse)
    torch.testing.assert_close(result, denoise(x, t))


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
