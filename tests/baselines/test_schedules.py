"""Schedules against the formulas of their papers and diffusers' table."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler

from baselines.schedules import (
    VE,
    VP,
    CosineBetas,
    LinearBetas,
    NoiseLevels,
    OptimalTransport,
    Schedule,
    SubVP,
    drift_and_diffusion,
    on,
    transition,
)
from genbench.api.errors import UsageError

CONTINUOUS = [VP(), SubVP(), VE(0.01, 50.0), OptimalTransport()]
T = torch.linspace(1e-3, 1, 50, dtype=torch.float64)


def test_linear_betas_are_diffusers_table() -> None:
    table = DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    alpha, sigma = LinearBetas(1000)(torch.arange(1, 1001))
    torch.testing.assert_close(alpha.square().float(), table.alphas_cumprod, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1000, dtype=torch.float64))


@pytest.mark.parametrize("timesteps", [1000, 250])
def test_cosine_betas_are_diffusers_table(timesteps: int) -> None:
    table = DDPMScheduler(timesteps, beta_schedule="squaredcos_cap_v2")
    alpha, sigma = CosineBetas(timesteps)(torch.arange(1, timesteps + 1))
    torch.testing.assert_close(alpha.square().float(), table.alphas_cumprod, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(timesteps, dtype=torch.float64))


def test_cosine_betas_follow_their_cosine_until_beta_is_held() -> None:
    # Nichol & Dhariwal 2021, eq. 17.
    t = torch.arange(0, 999)
    angle = (t.double() / 1000 + 0.008) / 1.008 * math.pi / 2
    alpha, _ = CosineBetas(1000)(t)
    torch.testing.assert_close(alpha, angle.cos() / angle[0].cos(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("table", [LinearBetas(1000), CosineBetas(1000)])
def test_time_0_of_a_table_is_the_clean_sample(table: Schedule) -> None:
    alpha, sigma = table(torch.tensor(0))
    assert (alpha, sigma) == (1, 0)


def test_optimal_transport_is_a_straight_path() -> None:
    # Lipman et al. 2023, eq. 20, in their time: mean t x_1 and deviation 1 - (1 - sigma_min) t.
    alpha, sigma = OptimalTransport(0.1)(T)
    torch.testing.assert_close(alpha, 1 - T)
    torch.testing.assert_close(sigma, 1 - 0.9 * (1 - T))
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha, sigma = OptimalTransport(0.1)(ends)
    torch.testing.assert_close(
        torch.stack([alpha, sigma]), torch.tensor([[1, 0], [0.1, 1]]).double()
    )


def test_noise_levels_are_diffusers_grid() -> None:
    theirs = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    theirs.set_timesteps(18)
    ours = NoiseLevels().at(torch.linspace(1, 0, 18, dtype=torch.float64))
    torch.testing.assert_close(ours.float(), theirs.sigmas[:-1], rtol=1e-5, atol=0)


@pytest.mark.parametrize(("mean", "deviation"), [(-1.2, 1.2), (-1.1, 2.0)])
def test_noise_levels_are_drawn_log_normally(mean: float, deviation: float) -> None:
    torch.manual_seed(0)
    schedule = NoiseLevels(mean=mean, deviation=deviation)
    first = torch.stack([schedule.draw(3)[0] for _ in range(2000)])
    normal = (first.log() - mean) / deviation
    assert scipy.stats.kstest(normal.numpy(), "norm").pvalue > 0.01
    together = (schedule.draw(2000).log() - mean) / deviation
    assert scipy.stats.kstest(together.numpy(), "norm").statistic < 1e-3


def test_noise_levels_of_a_zero_quantile_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", torch.zeros)
    assert (NoiseLevels().draw(4) > 0).all()


@pytest.mark.parametrize(
    "schedule", [*CONTINUOUS, LinearBetas(100), CosineBetas(100), NoiseLevels()]
)
def test_the_way_to_noise_goes_from_the_least_to_the_most(schedule: Schedule) -> None:
    way = schedule.at(torch.linspace(0, 1, 21, dtype=torch.float64))
    alpha, sigma = schedule(way)
    ratio = sigma / alpha
    assert (ratio.diff() > 0).all()
    assert ratio[0] <= 0.01
    assert way[-1] == pytest.approx(schedule.t_max)
    assert 0 < schedule.t_min < schedule.t_max


@pytest.mark.parametrize(
    ("schedule", "labels"),
    [
        (LinearBetas(100), [0.01, 0.5, 1.0]),
        (VP(), [0.01, 0.5, 1.0]),
        (NoiseLevels(), [math.log(0.01) / 4, math.log(0.5) / 4, 0.0]),
    ],
)
def test_what_networks_are_told_of_the_time(schedule: Schedule, labels: list[float]) -> None:
    t = torch.tensor([0.01, 0.5, 1.0], dtype=torch.float64)
    if schedule.t_max == 100:
        t = (100 * t).long()
    assert schedule.noise_label(t).tolist() == pytest.approx(labels)


@pytest.mark.parametrize("timesteps", [1000, 250, 100])
def test_fewer_timesteps_end_in_as_much_noise(timesteps: int) -> None:
    alpha, _ = LinearBetas(timesteps)(torch.tensor(timesteps))
    assert 1e-5 < alpha**2 < 5e-5


def test_too_few_timesteps_are_refused() -> None:
    LinearBetas(21)
    with pytest.raises(UsageError, match="timesteps must be at least 21, got 20"):
        LinearBetas(20)


def test_vp_follows_its_sde() -> None:
    beta = 0.1 + T * 19.9
    f, g2 = drift_and_diffusion(VP(), T)
    torch.testing.assert_close(f, -beta / 2)
    torch.testing.assert_close(g2, beta)


def test_sub_vp_follows_its_sde() -> None:
    beta = 0.1 + T * 19.9
    integral = 0.1 * T + 19.9 * T**2 / 2
    f, g2 = drift_and_diffusion(SubVP(), T)
    torch.testing.assert_close(f, -beta / 2)
    torch.testing.assert_close(g2, beta * (1 - torch.exp(-2 * integral)))


def test_ve_follows_its_sde() -> None:
    sigma = 0.01 * 5000**T
    f, g2 = drift_and_diffusion(VE(0.01, 50.0), T)
    assert torch.equal(f, torch.zeros_like(T))
    torch.testing.assert_close(g2, sigma**2 * 2 * math.log(5000))


def test_optimal_transport_follows_the_sde_of_its_path() -> None:
    # f = -1/(1 - t) and g² = 2 sigma (sigma' + sigma/(1 - t)).
    t = T[:-1]
    f, g2 = drift_and_diffusion(OptimalTransport(0.0), t)
    torch.testing.assert_close(f, -1 / (1 - t))
    torch.testing.assert_close(g2, 2 * t / (1 - t))


@pytest.mark.parametrize("schedule", CONTINUOUS)
def test_the_sde_is_known_in_inference_mode(schedule: Schedule) -> None:
    outside = drift_and_diffusion(schedule, T)
    with torch.inference_mode():
        inside = drift_and_diffusion(schedule, T.clone())
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


@pytest.mark.parametrize("schedule", [*CONTINUOUS, LinearBetas(100)])
def test_transitions_compose_to_the_marginal(schedule: Schedule) -> None:
    s, t = (torch.tensor(v) for v in ((30, 70) if schedule.t_max > 1 else (0.3, 0.7)))
    (alpha_s, sigma_s), (alpha_t, sigma_t) = schedule(s), schedule(t)
    alpha_ts, var_ts = transition(schedule, s, t)
    assert var_ts > 0
    torch.testing.assert_close(alpha_ts * alpha_s, alpha_t)
    torch.testing.assert_close((alpha_ts * sigma_s) ** 2 + var_ts, sigma_t**2)


def test_one_timestep_of_linear_betas_adds_beta() -> None:
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    for t in (1, 2, 500, 1000):
        alpha_ts, var_ts = transition(LinearBetas(1000), torch.tensor(t - 1), torch.tensor(t))
        torch.testing.assert_close(var_ts, beta[t - 1])
        torch.testing.assert_close(alpha_ts**2, 1 - beta[t - 1])


def test_little_noise_keeps_its_digits() -> None:
    t = torch.tensor(1e-5, dtype=torch.float64)
    integral = 1e-6 + 19.9e-10 / 2
    torch.testing.assert_close(VP()(t)[1] ** 2, torch.tensor(integral).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(SubVP()(t)[1], torch.tensor(integral).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("schedule", [*CONTINUOUS, LinearBetas(100)])
def test_times_are_drawn_uniformly(schedule: Schedule) -> None:
    torch.manual_seed(0)
    share = schedule.draw(20_000) / schedule.t_max
    assert 0 < share.min() < 0.02
    assert 0.98 < share.max() <= 1
    counts = torch.histc(share.float() - 1e-4, 10, 0, 1)
    # 2,000 a bin, give or take a standard deviation of 42.
    assert (counts - 2000).abs().max() < 4.5 * 42


@pytest.mark.parametrize("schedule", [VP(), LinearBetas(100)])
def test_each_time_is_uniform_by_itself(schedule: Schedule) -> None:
    torch.manual_seed(0)
    share = torch.stack([schedule.draw(4) for _ in range(2000)]) / schedule.t_max
    for place in share.float().unbind(1):
        counts = torch.histc(place - 1e-4, 10, 0, 1)
        # 200 a bin, give or take a standard deviation of 13.4.
        assert (counts - 200).abs().max() < 4.5 * 13.4


def test_times_of_a_batch_are_evenly_spread() -> None:
    gaps = VP().draw(50).sort().values.diff()
    torch.testing.assert_close(gaps, torch.full_like(gaps, 1 / 50), rtol=1e-4, atol=0)


def test_every_timestep_is_drawn_and_never_0() -> None:
    torch.manual_seed(0)
    assert set(LinearBetas(30).draw(2000).tolist()) == set(range(1, 31))


def test_on_lays_coefficients_along_the_batch() -> None:
    x = torch.zeros(3, 2, 4, 4)
    one_each = on(x, torch.arange(3, dtype=torch.float64))
    assert one_each.shape == (3, 1, 1, 1)
    assert (x * on(x, torch.tensor(2.0, dtype=torch.float64))).dtype == torch.float32
    assert (x * one_each).dtype == torch.float32
