"""Comparisons of groups over seeds, against scipy, rliable and cases computed by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from rliable import metrics as rliable
from scipy import stats

from genbench.analysis.statistics import (
    LEAST_SEEDS,
    compare,
    holm,
    interquartile_intervals,
    interquartile_mean,
    pooled_ranks,
    welch,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("seeds", [(5, 5), (5, 7), (10, 10)])
def test_one_contestant_a_side_is_the_mann_whitney_test(seeds: tuple[int, int]) -> None:
    a, b = RNG.normal(0.4, 1, seeds[0]), RNG.normal(0, 1, seeds[1])
    found = compare([a.tolist()], [b.tolist()], last="lowest")
    u = stats.mannwhitneyu(a, b, method="exact")
    assert found.p == pytest.approx(u.pvalue, rel=1e-9)
    assert found.probability == pytest.approx(u.statistic / (len(a) * len(b)), rel=1e-12)


def test_the_probability_is_rliables_averaged_over_pairs_of_contestants() -> None:
    a, b = RNG.normal(0.3, 1, (3, 6)), RNG.normal(0, 1, (2, 5))
    pairs = [
        rliable.probability_of_improvement(x[:, None], y[:, None])
        for x, y in itertools.product(a, b)
    ]
    found = compare(a.tolist(), b.tolist(), last="lowest")
    assert found.probability == pytest.approx(np.mean(pairs), rel=1e-12)


def test_five_seeds_a_side_can_reach_0_008_and_three_cannot_decide() -> None:
    five = compare([[1, 2, 3, 4, 5]], [[6, 7, 8, 9, 10]], last="lowest")
    assert (five.probability, five.low) == (0, 0)
    assert five.p == pytest.approx(2 / math.comb(10, 5))
    three = compare([[1, 2, 3]], [[4, 5, 6]], last="lowest")
    assert three.p == pytest.approx(0.1)
    assert LEAST_SEEDS == 5


def test_contestants_that_share_weights_count_as_one_draw() -> None:
    """Copies of an entry add no evidence: p and interval stay as they were."""
    a, b = RNG.normal(0.8, 1, 6).tolist(), RNG.normal(0, 1, 6).tolist()
    one, copies = compare([a], [b], last="lowest"), compare([a] * 4, [b] * 4, last="lowest")
    assert copies.p == pytest.approx(one.p, rel=1e-9)
    assert copies.probability == pytest.approx(one.probability)
    assert copies.low == pytest.approx(one.low)
    assert copies.high == pytest.approx(one.high)


@pytest.mark.parametrize(("last", "above"), [("lowest", 6), ("highest", 16)])
def test_diverged_runs_rank_last(last: str, above: int) -> None:
    # Of 25 pairs: 2, 4 and 6 are above 1, 2 and 3 of B's; the two others above none of B's five, or
    # above all.
    found = compare([[2.0, None, 4.0, None, 6.0]], [[1.0, 3.0, 5.0, 7.0, 9.0]], last=last)
    assert found.probability == pytest.approx(above / 25)


def test_runs_without_a_value_tie() -> None:
    a, b = pooled_ranks([[None, 2.0]], [[None, 1.0]], last="lowest")
    assert a.tolist() == [[1.5, 4.0]]
    assert b.tolist() == [[1.5, 3.0]]


def test_equal_groups_are_even() -> None:
    found = compare([[1, 1, 1, 1, 1]], [[1, 1, 1, 1, 1]], last="lowest")
    assert (found.probability, found.p) == (0.5, 1.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(1 - found.high)


def test_one_seed_has_no_interval() -> None:
    found = compare([[1.0]], [[2.0]], last="lowest")
    assert found.probability == 0
    assert found.low is None
    assert found.high is None
    assert found.p is None


def test_the_level_of_the_test_under_no_difference() -> None:
    """Of 400 comparisons of equal groups, five seeds a side, no more than about 5 % are below 0.05;
    and entries that move together by seed do not change that."""
    rng = np.random.default_rng(1)
    below = 0
    for _ in range(400):
        seeds = rng.normal(size=(2, 1, 5))
        a, b = (shared + 0.1 * rng.normal(size=(3, 5)) for shared in seeds)
        p = compare(a.tolist(), b.tolist(), last="lowest").p
        assert p is not None
        below += p < 0.05
    assert 5 <= below <= 32  # the exact level is 8/252 = 3.2 %: 13 expected


@pytest.mark.parametrize("sizes", [(5, 5), (6, 9)])
def test_the_interval_is_brunner_and_munzels_on_the_logit(sizes: tuple[int, int]) -> None:
    """Its standard error is the one of scipy's statistic W = (P - ½)/s; the ends are where Welch's
    t of that error, at the slope of the logit, reaches its quantile."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(0.3, 2, sizes[0]), rng.normal(0, 1, sizes[1])
    found = compare([a.tolist()], [b.tolist()], last="lowest")
    p = found.probability
    assert 0 < p < 1
    error = (p - 0.5) / stats.brunnermunzel(b, a).statistic
    placements = [[np.mean(x > b) for x in a], [np.mean(a > y) for y in b]]
    parts = [np.var(row, ddof=1) / len(row) for row in placements]
    assert error == pytest.approx(math.sqrt(sum(parts)))
    freedom = sum(parts) ** 2 / sum(v**2 / (n - 1) for v, n in zip(parts, sizes, strict=True))
    half = stats.t.ppf(0.975, freedom) * error / (p * (1 - p))
    ends = [1 / (1 + math.exp(-(math.log(p / (1 - p)) + sign * half))) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(ends)


@pytest.mark.parametrize(("seeds", "low"), [(5, 0.6427), (10, 0.8002)])
def test_separated_groups_have_newcombes_interval(seeds: int, low: float) -> None:
    """(1 - θ)² = z² θ(1 - θ) (1 + (n - 1)((1 - θ)/(2 - θ) + θ/(1 + θ)))/n², solved by bisection."""
    a, b = list(range(seeds, 2 * seeds)), list(range(seeds))
    found = compare([a], [b], last="lowest")
    assert (found.probability, found.high) == (1, 1)
    assert found.low == pytest.approx(low, abs=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Three entries a side that share their seeds' luck; the percentile bootstrap holds it in
    less than 90 % of cases."""
    rng = np.random.default_rng(2)
    effects = np.array([-1.0, 0.0, 1.0])[:, None]

    def draw(seeds: int, shift: float) -> list[list[float]]:
        runs = effects + shift + 0.6 * rng.normal(size=seeds) + 0.8 * rng.normal(size=(3, seeds))
        return [row.tolist() for row in runs]

    # The difference of two runs is normal with the variance 2, whoever they are of.
    differences = (effects - effects.T).ravel() + 0.5
    truth = stats.norm.cdf(differences / math.sqrt(2)).mean()
    held = 0
    for _ in range(300):
        found = compare(draw(5, 0.5), draw(5, 0.0), last="lowest")
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert held / 300 > 0.93


@pytest.mark.parametrize("n", [5, 8, 10])
def test_the_interval_of_the_interquartile_mean_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    known = stats.bootstrap(
        (values,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    (found,) = interquartile_intervals([values.tolist()], False)
    assert found == pytest.approx(tuple(known), abs=0.05)


def test_the_interquartile_mean_has_no_interval_below_five_seeds_nor_over_lost_runs() -> None:
    few, lost = [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, None]
    assert interquartile_intervals([few], False) == [None]
    whole = [5.0, 1.0, 4.0, 2.0, 3.0]
    alone = interquartile_intervals([whole], False)
    assert interquartile_intervals([lost, whole, lost], False) == [None, *alone, None]


@pytest.mark.parametrize("sizes", [(2, 2), (3, 7), (10, 4)])
def test_welch_is_scipys(sizes: tuple[int, int]) -> None:
    a, b = RNG.normal(1, 2, sizes[0]), RNG.normal(0, 1, sizes[1])
    found, known = welch(a.tolist(), b.tolist()), stats.ttest_ind(a, b, equal_var=False)
    interval = known.confidence_interval()
    assert found.p == pytest.approx(known.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(a.mean() - b.mean())


def test_welch_without_variance() -> None:
    assert welch([1.0, 1.0], [1.0, 1.0]).p == 1
    assert welch([2.0, 2.0], [1.0, 1.0]).p == 0
    # The mean of these is not exactly 0.1, and their computed variance not exactly 0.
    assert welch([0.1] * 3, [0.1] * 3).p == 1
    # A warning would be an error here.
    assert welch([0.1] * 3, [0.1, 0.2, 0.3]).p == pytest.approx(0.2254, abs=1e-4)


def test_holm() -> None:
    # Holm 1979, by hand: 0.01·4, max(·, 0.02·3), max(·, 0.03·2), max(·, 0.04).
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 10])
def test_the_interquartile_mean_is_rliables(n: int) -> None:
    values = RNG.normal(size=n)
    assert interquartile_mean(values.tolist(), higher_is_better=True) == pytest.approx(
        rliable.aggregate_iqm(values[:, None])
    )


@pytest.mark.parametrize(
    ("values", "higher_is_better", "known"),
    [
        ([1.0, 2.0, 3.0, None], False, 2.5),
        ([1.0, 2.0, 3.0, None], True, 1.5),
        ([1.0, 2.0, None, None], False, None),
        ([None, None, None, None], True, None),
        ([], True, None),
    ],
)
def test_the_interquartile_mean_ranks_lost_runs_last(
    values: list[float | None], higher_is_better: bool, known: float | None
) -> None:
    assert interquartile_mean(values, higher_is_better) == known
