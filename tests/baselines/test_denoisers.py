"""Views of a denoiser against densities known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from baselines.denoisers import (
    NetworkDenoiser,
    from_epsilon,
    predict_epsilon,
    to_epsilon,
    to_score,
    to_v,
)
from baselines.schedules import VE, VP, LinearBetas, Schedule, SubVP

SCHEDULES = [VP(), SubVP(), VE(0.01, 50.0), LinearBetas(100)]


def times(schedule: Schedule) -> Tensor:
    """Three of them, one a sample."""
    share = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    return (share * schedule.t_max).long() if schedule.t_max > 1 else share


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_score_is_the_gradient_of_the_log_density(schedule: Schedule, x: Tensor) -> None:
    # x_0 ~ N(0.3, 0.5²), independent: p_t is N(0.3 alpha, 0.25 alpha² + sigma²).
    t = times(schedule)
    alpha, sigma = (c.view(3, 1, 1) for c in schedule(t))
    variance = (0.5 * alpha) ** 2 + sigma**2
    posterior_mean = 0.3 + 0.25 * alpha / variance * (x - 0.3 * alpha)
    x_t = x.clone().requires_grad_()
    (-((x_t - 0.3 * alpha) ** 2) / (2 * variance)).sum().backward()
    assert x_t.grad is not None
    torch.testing.assert_close(to_score(schedule, posterior_mean, x, t), x_t.grad)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_views_of_a_known_pair(schedule: Schedule, x: Tensor) -> None:
    t = times(schedule)
    alpha, sigma = (c.view(3, 1, 1) for c in schedule(t))
    noise = x.flip(0)
    x_t = alpha * x + sigma * noise
    torch.testing.assert_close(to_epsilon(schedule, x, x_t, t), noise)
    torch.testing.assert_close(from_epsilon(schedule, noise, x_t, t), x)
    torch.testing.assert_close(to_v(schedule, x, x_t, t), alpha * noise - sigma * x)


def test_v_is_the_velocity_on_the_circle() -> None:
    # Where alpha = cos φ and sigma = sin φ, v = dx_t/dφ.
    schedule = VP()
    t = torch.tensor(0.4, dtype=torch.float64)
    alpha, sigma = schedule(t)
    angle = torch.atan2(sigma, alpha)
    x_0, noise = torch.tensor([[2.0]]).double(), torch.tensor([[-1.0]]).double()
    step = 1e-6
    ahead, behind = ((angle + h).cos() * x_0 + (angle + h).sin() * noise for h in (step, -step))
    v = to_v(schedule, x_0, alpha * x_0 + sigma * noise, t)
    torch.testing.assert_close(v, (ahead - behind) / (2 * step))


class Spy:
    """A network that keeps what it saw, and predicts ε = 1."""

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        self.x, self.time = x, time
        return torch.ones_like(x)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_network_sees_unit_scale_and_a_time_in_0_1(schedule: Schedule) -> None:
    generator = torch.Generator().manual_seed(0)
    t = times(schedule)
    alpha, sigma = (c.view(3, 1).float() for c in schedule(t))
    x_0, noise = torch.randn(2, 3, 10_000, generator=generator)
    spy = Spy()
    predict_epsilon(spy, schedule, alpha * x_0 + sigma * noise, t)
    torch.testing.assert_close(spy.x.std(dim=1), torch.ones(3), rtol=0.05, atol=0)
    torch.testing.assert_close(spy.time, torch.tensor([0.1, 0.5, 1.0]))


def test_ve_time_is_affine_in_log_sigma() -> None:
    schedule = VE(0.01, 50.0)
    spy = Spy()
    t = schedule.draw(100)
    predict_epsilon(spy, schedule, torch.zeros(100, 2), t)
    log_sigma = schedule(t)[1].log()
    expected = (log_sigma - math.log(0.01)) / math.log(5000)
    torch.testing.assert_close(spy.time.double(), expected, rtol=0, atol=1e-6)


def test_one_time_serves_the_whole_batch() -> None:
    spy = Spy()
    x_t = torch.zeros(4, 2)
    x_0 = NetworkDenoiser(spy, VP())(x_t, torch.tensor(0.5, dtype=torch.float64))
    assert x_0.dtype == torch.float32
    assert spy.time.tolist() == [0.5] * 4


def test_a_network_of_half_precision_predicts_in_float32() -> None:
    epsilon = predict_epsilon(lambda x, time: x.bfloat16(), VP(), torch.zeros(4, 2), VP().draw(4))
    assert epsilon.dtype == torch.float32


@pytest.mark.parametrize("clip", [False, True])
def test_clipping_is_an_option(clip: bool) -> None:
    t = torch.tensor(1.0, dtype=torch.float64)
    alpha, sigma = VP()(t)
    x_0 = NetworkDenoiser(Spy(), VP(), clip)(torch.tensor([[0.0, 1.0]]), t)
    expected = (torch.tensor([[0.0, 1.0]]) - sigma) / alpha
    assert expected[0, 0] < -1
    torch.testing.assert_close(x_0, expected.clamp(-1, 1) if clip else expected)
