"""Intervals against scipy's, closed forms, and how often they hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from genbench.api import Estimate
from genbench.metrics import resampling
from genbench.metrics.resampling import groups, jackknife, mean, over_groups, share

DRAWS = 200


def coverage(estimate: Callable[[torch.Generator], Estimate], truth: float) -> float:
    """The share of 200 intervals that hold ``truth``."""
    estimates = [estimate(torch.Generator().manual_seed(seed)) for seed in range(DRAWS)]
    return sum((e.low or 0) <= truth <= (e.high or 0) for e in estimates) / DRAWS


def test_mean_equals_scipy() -> None:
    x = torch.rand(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = stats.ttest_1samp(x.numpy(), 0).confidence_interval(0.95)
    estimate = mean(x)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (float(x.mean()), low, high)
    )


def test_mean_of_one_number_has_no_interval() -> None:
    assert mean(torch.tensor([3.0])) == Estimate(3.0)


@pytest.mark.parametrize(("true", "count"), [(0, 7), (7, 7), (1, 1), (3, 40), (999, 1000)])
def test_share_equals_scipy(true: int, count: int) -> None:
    theirs = stats.binomtest(true, count).proportion_ci(0.95, method="wilson")
    estimate = share(torch.arange(count) < true)
    assert estimate.value == true / count
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))


def test_share_holds_its_own_value_to_the_last_digit() -> None:
    for count in range(1, 300):
        for true in (0, 1, count // 2, count):
            estimate = share(torch.arange(count) < true)
            assert estimate.low is not None
            assert estimate.high is not None
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_jackknife_of_a_mean_is_the_mean_s_own_interval() -> None:
    x = torch.randn(25, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    without = [float(torch.cat([x[:i], x[i + 1 :]]).mean()) for i in range(len(x))]
    ours, expected = jackknife(float(x.mean()), without), mean(x)
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high))


def test_over_groups_of_a_mean_is_the_interval_of_the_groups_means() -> None:
    x = torch.randn(200, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    of_groups = torch.stack([x[groups(200) == number].mean() for number in range(20)])
    ours, expected = over_groups(lambda rows: float(rows.mean()), x), mean(of_groups)
    assert (ours.value, ours.low, ours.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_over_groups_is_silent_below_two_rows_a_group() -> None:
    x = torch.arange(39.0)
    assert over_groups(lambda rows: float(rows.sum()), x) == Estimate(float(x.sum()))


@pytest.mark.parametrize("count", [40, 59, 1003])
def test_groups_are_equal_and_at_random(count: int) -> None:
    sizes = groups(count).bincount(minlength=20)
    assert len(sizes) == 20
    assert sizes.max() - sizes.min() <= 1
    assert groups(count).equal(groups(count))
    assert not groups(count)[:20].sort().values.equal(torch.arange(20))


@pytest.mark.parametrize("rows", [2, 19, 20, 65, 2049])
def test_enough_is_the_least_that_leaves_so_many(rows: int) -> None:
    def left(count: int) -> int:
        return count - int(groups(count).bincount().max())

    count = resampling.enough(rows)
    assert left(count) >= rows > left(count - 1)


def of_mean(stream: torch.Generator) -> Estimate:
    return mean(torch.empty(40).exponential_(generator=stream))


def of_share(stream: torch.Generator) -> Estimate:
    return share(torch.rand(60, generator=stream) < 0.1)


def of_variance(stream: torch.Generator) -> Estimate:
    x = torch.randn(400, generator=stream, dtype=torch.float64)
    return over_groups(lambda rows: float(rows.var()), x)


def of_ratio(stream: torch.Generator) -> Estimate:
    x: Tensor = torch.rand(400, 2, generator=stream, dtype=torch.float64) + 0.5
    return over_groups(lambda rows: float(rows[:, 0].mean() / rows[:, 1].mean()), x)


@pytest.mark.parametrize(
    ("estimate", "truth"), [(of_mean, 1.0), (of_share, 0.1), (of_variance, 1.0), (of_ratio, 1.0)]
)
def test_intervals_hold_in_about_95_of_100_draws(
    estimate: Callable[[torch.Generator], Estimate], truth: float
) -> None:
    assert 0.9 <= coverage(estimate, truth) <= 0.99


def test_the_jackknife_s_error_is_the_spread_over_draws() -> None:
    draws = [of_ratio(torch.Generator().manual_seed(1000 + seed)) for seed in range(DRAWS)]
    spread = np.std([draw.value for draw in draws])
    halves = [(draw.high or 0) - draw.value for draw in draws]
    assert np.mean(halves) / stats.t.ppf(0.975, 19) == pytest.approx(spread, rel=0.2)
