"""What a grid says of tuning: held against enumeration of every draw, and against what is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from genbench.analysis.statistics import expected_best, intervals, near_best, setting_score

SCORES = [0.31, 0.12, 0.94, 0.12, 0.55, 0.47]


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_expected_best_is_the_mean_over_all_draws(higher_is_better: bool) -> None:
    best = max if higher_is_better else min
    expected = [
        np.mean([best(drawn) for drawn in itertools.combinations(SCORES, k)]) for k in range(1, 7)
    ]
    assert expected_best(SCORES, higher_is_better) == pytest.approx(expected, rel=1e-12)


def test_expected_best_runs_from_the_mean_to_the_best_found() -> None:
    """Drawn with replacement (Dodge et al. 2019, section 3.1) it would never get there."""
    curve = expected_best(SCORES, False)
    assert curve[0] == pytest.approx(np.mean(SCORES))
    assert curve[-1] == min(SCORES)
    with_replacement = [
        np.mean([min(drawn) for drawn in itertools.product(SCORES, repeat=k)]) for k in range(1, 7)
    ]
    assert with_replacement[0] == pytest.approx(curve[0])
    assert all(ours < theirs for ours, theirs in zip(curve[1:], with_replacement[1:], strict=True))
    assert with_replacement[-1] > min(SCORES)


@pytest.mark.parametrize(
    ("scores", "higher_is_better", "expected"),
    [
        ([1.0, 2.0, None], False, [None, 4 / 3, 1.0]),  # of the three pairs: 1, 1, 2
        ([1.0, 2.0, math.nan], True, [None, 5 / 3, 2.0]),  # 2, 1, 2
        ([None, 3.0, None], False, [None, None, 3.0]),
        ([None, None], False, [None, None]),
        ([5.0], True, [5.0]),
        ([0.0, 0.0], True, [0.0, 0.0]),
        ([-1.0, 3.0], True, [1.0, 3.0]),
    ],
)
def test_a_setting_without_a_score_is_the_last_that_is_chosen(
    scores: list[float | None], higher_is_better: bool, expected: list[float | None]
) -> None:
    assert expected_best(scores, higher_is_better) == [
        None if value is None else pytest.approx(value) for value in expected
    ]
    assert "-0" not in map(str, expected_best(scores, higher_is_better))


@pytest.mark.parametrize(
    ("scores", "factor", "higher_is_better", "count"),
    [
        ([1.0, 1.5, 1.51, 8.0], 1.5, False, 2),
        ([1.0, 1.5, 1.51, 8.0], 8.0, False, 4),
        ([1.0, 1.0, 2.0], 1.0, False, 2),
        ([0.9, 0.6, 0.59, None], 1.5, True, 2),
        ([0.9, 0.0], 1.5, True, 1),  # a recall of 0 is a score, and far from the best
        ([2.0, None, math.inf], 1.5, False, 1),
        ([0.0, 1.0], 1.5, False, None),
        ([0.0, 0.0], 1.5, True, None),
        ([-0.1, 1.0], 1.5, False, None),
        ([-0.1, 1.0], 1.5, True, None),
        ([None, None], 1.5, False, None),
    ],
)
def test_near_best(
    scores: list[float | None], factor: float, higher_is_better: bool, count: int | None
) -> None:
    assert near_best(scores, factor, higher_is_better) == count


def test_the_score_of_a_setting_is_the_median_with_lost_runs_last() -> None:
    assert setting_score([3.0, 1.0, None], False) == 3.0
    assert setting_score([3.0, 1.0, None], True) == 1.0
    assert setting_score([3.0, None], False) is None


def test_no_interval_below_five_seeds() -> None:
    assert intervals([[1.0, 2.0, 3.0, 4.0]] * 3, 1.5, False) is None


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_intervals_are_those_of_all_resamples(higher_is_better: bool) -> None:
    """Of five seeds there are 5⁵ resamples."""
    runs = np.array(
        [[1.0, 1.2, 1.4, 1.6, 3.0], [1.3, 1.1, 5.0, 1.5, 2.6], [9.0, 1.9, 2.0, 2.1, 2.2]]
    )
    drawn = np.array(list(itertools.product(range(5), repeat=5)))
    medians = np.median(runs[:, drawn], axis=2)
    found = intervals(runs.tolist(), 1.5, higher_is_better)
    assert found is not None
    best = medians.max(axis=0) if higher_is_better else medians.min(axis=0)
    for values, ends in [(medians.mean(axis=0), found.expected[0]), (best, found.expected[2])]:
        exact = np.quantile(values, [0.025, 0.975], method="inverted_cdf")
        assert ends == pytest.approx(tuple(exact), rel=0.02)
    near = (medians >= best / 1.5) if higher_is_better else (medians <= best * 1.5)
    assert found.near == tuple(
        np.quantile(near.sum(axis=0), [0.025, 0.975], method="inverted_cdf").astype(int)
    )


def test_seeds_are_drawn_for_all_settings_together() -> None:
    """Twice as far with every seed is never near, however much the seeds differ."""
    runs = [[1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 4.0, 8.0, 16.0, 32.0]]
    found = intervals(runs, 1.5, False)
    assert found is not None
    assert found.near == (1, 1)
    assert found.expected[1] == (1.0, 16.0)


def test_an_interval_may_have_no_end() -> None:
    found = intervals([[1.0, 2.0, 3.0, None, None]], 1.5, False)
    assert found is not None
    assert found.expected == ((1.0, None),)
    higher = intervals([[1.0, 2.0, 3.0, None, None]], 1.5, True)
    assert higher is not None
    assert higher.expected == ((None, 3.0),)
