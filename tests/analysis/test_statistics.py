from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from genbench.analysis.statistics import centre, mean_interval, quantile, summarize


@pytest.mark.parametrize("n", [2, 3, 4, 5, 11])
def test_complete_runs_agree_with_numpy(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    summary = summarize(list(values))
    assert (summary.n, summary.k) == (n, n)
    assert summary.mean == pytest.approx(np.mean(values), rel=1e-14)
    assert summary.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert summary.median == pytest.approx(np.median(values), rel=1e-14)
    assert summary.iqr == pytest.approx(np.subtract(*np.quantile(values, [0.75, 0.25])))


def test_one_run_has_no_deviation() -> None:
    summary = summarize([2.5])
    assert (summary.mean, summary.median) == (2.5, 2.5)
    assert (summary.deviation, summary.iqr) == (None, None)


@pytest.mark.parametrize(
    ("values", "higher_is_better", "median"),
    [
        ([1.0, 2.0, None], False, 2.0),  # 1, 2, ∞
        ([1.0, 2.0, None], True, 1.0),  # -∞, 1, 2
        ([1.0, None], False, None),  # between 1 and ∞
        ([1.0, None], True, None),
        ([1.0, None, None], False, None),
        ([5.0, 1.0, None, 3.0], False, 4.0),  # 1, 3, 5, ∞
        ([5.0, 1.0, math.nan, 3.0], False, 4.0),
        ([5.0, 1.0, math.inf, 3.0], True, 2.0),  # an infinite score is none
        ([None, None], False, None),
        ([], False, None),
    ],
)
def test_runs_without_a_value_are_ranked_last(
    values: list[float | None], higher_is_better: bool, median: float | None
) -> None:
    summary = summarize(values, higher_is_better)
    assert summary.median == median
    assert summary.n == len(values)
    assert summary.mean is None
    assert summary.deviation is None


def test_spread_needs_both_quartiles() -> None:
    assert summarize([1.0, 2.0, 3.0, 4.0, None]).iqr == 2.0  # 4 - 2
    assert summarize([1.0, 2.0, 3.0, None, None]).iqr is None


def test_quantile_interpolates_as_numpy_does() -> None:
    ranked = [1.0, 2.0, 4.0, 8.0]
    for q in np.linspace(0, 1, 21):
        assert quantile(ranked, float(q)) == pytest.approx(np.quantile(ranked, q))


@pytest.mark.parametrize(
    ("values", "higher_is_better", "cvar"),
    [
        ([1.0, 2.0, 6.0, 4.0], False, 5.0),
        ([1.0, 2.0, 6.0, 4.0], True, 1.5),
        ([1.0, 2.0, 3.0], False, (3.0 + 0.5 * 2.0) / 1.5),  # the middle one counts half
        ([1.0, 2.0, 3.0, 4.0, None], False, None),
        ([1.0, 2.0, 3.0, 4.0, None], True, None),
        ([1.0], False, None),
    ],
)
def test_the_mean_of_the_worst_half(
    values: list[float | None], higher_is_better: bool, cvar: float | None
) -> None:
    assert summarize(values, higher_is_better).cvar == cvar


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_worst_half_is_the_integral_of_the_quantile_function(n: int) -> None:
    """CVaR is the mean of the upper half of the empirical distribution's quantiles."""
    values = np.random.default_rng(n).normal(size=n)
    grid = 0.5 + (np.arange(90_000) + 0.5) / 180_000
    expected = np.quantile(values, grid, method="inverted_cdf").mean()
    assert summarize(list(values)).cvar == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_of_a_mean_agrees_with_scipy(n: int) -> None:
    values = list(np.random.default_rng(n).normal(3, 2, n))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx(tuple(expected))


def test_one_or_two_values_have_no_interval() -> None:
    assert mean_interval([1.0]) is None
    assert mean_interval([1.0, 1.0]) is None
    assert mean_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)


def test_the_interval_of_a_distance_never_begins_below_zero() -> None:
    values = [0.01, 0.02, 0.3]
    low, high = mean_interval(values, minimum=0) or (0.0, 0.0)
    assert 0 < low < centre(values, 0) < high
    expected = stats.ttest_1samp(np.log(values), 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx(tuple(np.exp(expected)))
    # What may be negative, and what is 0, has no logarithm.
    assert (mean_interval(values) or (0.0,))[0] < 0
    assert mean_interval([0.0, 1.0, 2.0], minimum=0) == mean_interval([0.0, 1.0, 2.0])
    assert centre([0.0, 1.0, 2.0], 0) == 1.0


def test_a_prediction_interval_holds_further_means_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(size=(4_000, 7))
    held = 0
    for row in draws:
        interval = mean_interval(list(row[:5]), further=2)
        assert interval is not None
        held += interval[0] <= row[5:].mean() <= interval[1]
    assert held / len(draws) == pytest.approx(0.95, abs=0.012)
