"""Sliced Wasserstein distance against optimal assignment, scipy and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from genbench.api import Estimate
from genbench.metrics.sliced_wasserstein import (
    SlicedWasserstein,
    random_directions,
    sliced_wasserstein,
)

LINE = torch.ones(1, 1)


@pytest.mark.parametrize(("n", "m"), [(12, 12), (12, 8), (7, 5), (1, 9)])
def test_equals_optimal_assignment_on_the_line(n: int, m: int) -> None:
    """Unequal counts: every sample as often as brings both sides to the same number."""
    x, y = torch.randn(n, 1), 2 * torch.randn(m, 1) + 1
    common = math.lcm(n, m)
    cost = (x.repeat(common // n, 1) - y.repeat(common // m, 1).T).double().square()
    rows, columns = linear_sum_assignment(cost.numpy())
    expected = math.sqrt(cost[rows, columns].mean())
    assert sliced_wasserstein(x, y, LINE) == pytest.approx(expected, rel=1e-6)


def test_equals_scipy_for_a_shift_on_the_line() -> None:
    """For a shift W₁ = W₂."""
    x = torch.randn(50, 1, dtype=torch.float64)
    expected = wasserstein_distance(x.flatten().numpy(), x.flatten().numpy() + 0.7)
    assert sliced_wasserstein(x, x + 0.7, LINE) == pytest.approx(expected)


def test_shift_in_closed_form() -> None:
    """SW₂² = E (θ·δ)² = |δ|²/D."""
    x, delta = torch.randn(40, 5), torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0])
    directions = random_directions(20_000, 5, seed=0)
    expected = float(delta.norm()) / math.sqrt(5)
    assert sliced_wasserstein(x, x + delta, directions) == pytest.approx(expected, rel=0.02)
    exact = (directions @ delta.double()).square().mean().sqrt()
    assert sliced_wasserstein(x, x + delta, directions) == pytest.approx(float(exact), rel=1e-6)


def test_scaled_gaussian_in_closed_form() -> None:
    """W₂ between N(0, 1) and N(0, s²) on the line is |s - 1|."""
    stream = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 40_000, 1, generator=stream, dtype=torch.float64)
    assert sliced_wasserstein(x, 3 * y[:30_000], LINE) == pytest.approx(2, rel=0.02)


def test_copies_and_order_change_nothing() -> None:
    x = torch.randn(20, 3)
    directions = random_directions(16, 3, seed=0)
    assert sliced_wasserstein(x, x.flip(0).repeat(3, 1), directions) < 1e-12


def test_directions_are_uniform_and_follow_the_seed() -> None:
    directions = random_directions(50_000, 3, seed=1)
    assert directions.norm(dim=1).sub(1).abs().max() < 1e-12
    second_moment = directions.T @ directions / len(directions)
    assert (second_moment - torch.eye(3) / 3).abs().max() < 0.01
    assert random_directions(4, 3, seed=1).equal(random_directions(4, 3, seed=1))
    assert not random_directions(4, 3, seed=1).equal(random_directions(4, 3, seed=2))


def test_metric_is_the_function_over_its_seeded_directions() -> None:
    x, y = torch.randn(30, 4), torch.randn(25, 4)
    metric = SlicedWasserstein(projections=32, seed=7)
    metric.update({"features": x}, "reference")
    metric.update({"features": y}, "generated")
    expected = sliced_wasserstein(x, y, random_directions(32, 4, seed=7))
    estimate = metric.compute()["sliced_wasserstein"]
    assert estimate == Estimate(expected)  # too few samples for an interval


def test_interval_holds_in_about_95_of_100_draws() -> None:
    """On the line, about the mean over draws, since the distance of few samples is biased."""
    stream = torch.Generator().manual_seed(0)
    reference = torch.randn(400, 1, generator=stream)
    estimates = []
    for _ in range(200):
        metric = SlicedWasserstein(projections=1)
        metric.update({"features": reference}, "reference")
        metric.update({"features": torch.randn(200, 1, generator=stream) + 1}, "generated")
        estimates.append(metric.compute()["sliced_wasserstein"])
    truth = sum(estimate.value for estimate in estimates) / 200
    held = sum((e.low or 0) <= truth <= (e.high or 0) for e in estimates)
    assert 0.9 <= held / 200 <= 0.99
