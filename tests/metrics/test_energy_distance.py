"""Energy distance against scipy on the line, its definition and conventions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from torch import Tensor

from genbench.metrics.energy_distance import EnergyDistance, energy_distance


@pytest.mark.parametrize(("n", "m"), [(50, 50), (30, 7), (1, 4)])
def test_is_the_square_of_scipy_s_on_the_line(n: int, m: int) -> None:
    x, y = torch.randn(n, 1, dtype=torch.float64), 2 * torch.randn(m, 1, dtype=torch.float64) + 1
    theirs = stats.energy_distance(x.flatten().numpy(), y.flatten().numpy())
    assert energy_distance(x, y).value == pytest.approx(theirs**2, rel=1e-7)


@pytest.mark.parametrize("centre", [0, 1e4])
def test_is_its_definition_wherever_the_features_lie(centre: float) -> None:
    x = torch.randn(40, 16, dtype=torch.float64)
    y = 1.2 * torch.randn(30, 16, dtype=torch.float64) + 0.1
    within_x, within_y = cdist(x, x).mean(), cdist(y, y).mean()
    theirs = 2 * cdist(x, y).mean() - within_x - within_y
    assert energy_distance(x + centre, y + centre).value == pytest.approx(theirs, rel=1e-6)


def score(reference: Tensor, generated: Tensor) -> float:
    metric = EnergyDistance()
    metric.update({"features": reference}, "reference")
    metric.update({"features": generated}, "generated")
    return metric.compute()["energy_distance"].value


def test_two_points_in_closed_form() -> None:
    assert score(torch.zeros(3, 2), torch.tensor([[3.0, 4.0]])) == pytest.approx(10)


def test_is_in_the_unit_of_the_features() -> None:
    x, y = torch.randn(20, 3), torch.randn(25, 3) + 1
    assert score(7 * x, 7 * y) == pytest.approx(7 * score(x, y), rel=1e-6)


def test_a_set_against_itself_in_any_order_is_0() -> None:
    x = torch.randn(60, 4)
    assert score(x, x.flip(0)) == pytest.approx(0, abs=1e-7)


def test_equal_distributions_have_the_bias_that_is_said() -> None:
    """E|x - x'| = 2/√π on the line."""
    stream = torch.Generator().manual_seed(0)
    values = [
        score(torch.randn(30, 1, generator=stream), torch.randn(20, 1, generator=stream))
        for _ in range(400)
    ]
    expected = 2 / np.sqrt(np.pi) * (1 / 30 + 1 / 20)
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / 20


def test_sides_may_be_swapped_and_noise_never_improves_it() -> None:
    stream = torch.Generator().manual_seed(1)
    x, y, noise = torch.randn(3, 300, 2, generator=stream)
    values = [score(x, y + level * noise) for level in (0, 0.5, 1, 2)]
    assert values == sorted(values)
    assert score(y, x) == pytest.approx(values[0], rel=1e-7)


def test_interval_holds_in_about_95_of_100_draws() -> None:
    """About the mean over draws, since the V-statistic of few samples is biased."""
    stream = torch.Generator().manual_seed(2)
    reference = torch.randn(60, 2, generator=stream)
    draws = [
        energy_distance(reference, torch.randn(80, 2, generator=stream) + 0.5) for _ in range(400)
    ]
    truth = np.mean([draw.value for draw in draws])
    held = [(draw.low or 0) <= truth <= (draw.high or 0) for draw in draws]
    assert 0.9 <= np.mean(held) <= 0.99
