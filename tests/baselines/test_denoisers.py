"""A network as a denoiser, and a denoiser's views, against densities known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from baselines.denoisers import NetworkDenoiser, epsilon, score
from baselines.predictions import EPSILON, edm
from baselines.schedules import VE, VP, LinearBetas, NoiseLevels, Schedule, SubVP

SCHEDULES = [VP(), SubVP(), VE(0.01, 50.0), LinearBetas(100)]


def times(schedule: Schedule) -> Tensor:
    """Three of them, one a sample."""
    return schedule.at(torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64))


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
    result = score(lambda x_t, t: posterior_mean, schedule, x, t)
    torch.testing.assert_close(result, x_t.grad)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_views_of_a_known_pair(schedule: Schedule, x: Tensor) -> None:
    t = times(schedule)
    alpha, sigma = (c.view(3, 1, 1) for c in schedule(t))
    noise = x.flip(0)
    x_t = alpha * x + sigma * noise
    torch.testing.assert_close(epsilon(lambda x_t, t: x, schedule, x_t, t), noise)
    torch.testing.assert_close(EPSILON.denoised(schedule, noise, x_t, t), x)


class Spy:
    """A network that keeps what it saw, and predicts 1."""

    def __call__(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        self.x, self.time, self.labels = x, time, labels
        return torch.ones_like(x)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_network_sees_unit_scale_and_a_time_in_0_1(schedule: Schedule) -> None:
    generator = torch.Generator().manual_seed(0)
    t = times(schedule)
    alpha, sigma = (c.view(3, 1).float() for c in schedule(t))
    x_0, noise = torch.randn(2, 3, 10_000, generator=generator)
    spy = Spy()
    NetworkDenoiser(spy, schedule).predict(alpha * x_0 + sigma * noise, t)
    torch.testing.assert_close(spy.x.std(dim=1), torch.ones(3), rtol=0.05, atol=0)
    torch.testing.assert_close(spy.time, torch.tensor([0.1, 0.5, 1.0]))


def test_the_network_sees_data_of_another_scale_at_unit_scale_too() -> None:
    spy = Spy()
    sigma = torch.tensor([0.3], dtype=torch.float64)
    NetworkDenoiser(spy, NoiseLevels(), edm(0.4)).predict(torch.ones(1, 2), sigma)
    torch.testing.assert_close(spy.x, torch.full((1, 2), 2.0))  # 1/√(0.3² + 0.4²)
    torch.testing.assert_close(spy.time, sigma.float().log() / 4)


def test_ve_time_is_affine_in_log_sigma() -> None:
    schedule = VE(0.01, 50.0)
    spy = Spy()
    t = schedule.draw(100)
    NetworkDenoiser(spy, schedule).predict(torch.zeros(100, 2), t)
    log_sigma = schedule(t)[1].log()
    expected = (log_sigma - math.log(0.01)) / math.log(5000)
    torch.testing.assert_close(spy.time.double(), expected, rtol=0, atol=1e-6)


def test_one_time_serves_the_whole_batch() -> None:
    spy = Spy()
    x_t = torch.zeros(4, 2)
    x_0 = NetworkDenoiser(spy, VP())(x_t, torch.tensor(0.5, dtype=torch.float64))
    assert x_0.dtype == torch.float32
    assert spy.time.tolist() == [0.5] * 4


def test_a_network_without_labels_is_called_without_them() -> None:
    t = VP().draw(4)
    assert NetworkDenoiser(lambda x, time: x, VP()).predict(torch.ones(4, 2), t).shape == (4, 2)


def test_labels_reach_the_network_and_can_be_selected() -> None:
    spy = Spy()
    denoise = NetworkDenoiser(spy, VP(), labels=torch.tensor([3, 1, 4, 1]))
    denoise(torch.zeros(4, 2), VP().draw(4))
    assert spy.labels is not None
    assert spy.labels.tolist() == [3, 1, 4, 1]
    rows = torch.tensor([2, 0])
    denoise.select(rows)(torch.zeros(2, 2), VP().draw(2))
    assert spy.labels.tolist() == [4, 3]


def test_a_network_of_half_precision_predicts_in_float32() -> None:
    view = NetworkDenoiser(lambda x, time: x.bfloat16(), VP())
    assert view.predict(torch.zeros(4, 2), VP().draw(4)).dtype == torch.float32


def test_more_channels_than_those_of_x_are_handed_on() -> None:
    view = NetworkDenoiser(lambda x, time: torch.cat([x, 7 * torch.ones_like(x)], 1), VP())
    x_t, t = torch.randn(4, 2, 3, 3), VP().draw(4)
    x_0, rest = view.with_rest(x_t, t)
    torch.testing.assert_close(x_0, EPSILON.denoised(VP(), x_t, x_t, t))
    torch.testing.assert_close(view(x_t, t), x_0)
    assert torch.equal(rest, torch.full((4, 2, 3, 3), 7.0))


@pytest.mark.parametrize("clip", [False, True])
def test_clipping_is_an_option(clip: bool) -> None:
    t = torch.tensor(1.0, dtype=torch.float64)
    alpha, sigma = VP()(t)
    x_0 = NetworkDenoiser(Spy(), VP(), clip=clip)(torch.tensor([[0.0, 1.0]]), t)
    expected = (torch.tensor([[0.0, 1.0]]) - sigma) / alpha
    assert expected[0, 0] < -1
    torch.testing.assert_close(x_0, expected.clamp(-1, 1) if clip else expected)
