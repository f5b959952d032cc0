"""What a grid of settings says of tuning: how many are nearly as good as the best, and the expected
best of so many trials.

A setting without a score (its runs diverged) ranks last, and is never left out. Everything below is
computed on losses: the score, or its negative where higher is better, and ∞ without one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genbench.analysis.statistics.summaries import LEAST_SEEDS, LEVEL, RESAMPLES, quantile, ranked

_Losses: TypeAlias = NDArray[np.float64]
"""``(settings,)`` or, of bootstrap resamples, ``(settings, resamples)``."""


@dataclass(frozen=True)
class Intervals:
    """95 % intervals over seeds, for a grid that stays as it is."""

    near: tuple[int, int] | None
    """Of ``near_best``; ``None`` where it means nothing."""
    expected: tuple[tuple[float | None, float | None], ...]
    """Low and high ends of ``expected_best``, by the number of trials; ``None``: without bound."""


def setting_score(values: Sequence[float | None], higher_is_better: bool) -> float | None:
    """The median of a setting over its seeds, runs without a value ranked last; ``None`` where it
    falls on one of them."""
    return quantile(ranked(values, higher_is_better), 0.5)


def near_best(scores: Sequence[float | None], factor: float, higher_is_better: bool) -> int | None:
    """How many settings are within ``factor`` (1 or more) of the best, itself included: at most
    ``factor`` times the best score, or, where higher is better, at least the best over ``factor``.
    A setting without a score is not.

    ``None`` where factors mean nothing: a score is negative, the best is 0, or there is none.
    """
    losses = _losses([scores], higher_is_better)[0]
    counts = _near(losses, factor, higher_is_better)
    return None if counts is None or not np.isfinite(losses).any() else int(counts)


def expected_best(scores: Sequence[float | None], higher_is_better: bool) -> list[float | None]:
    """The expected best of k different settings drawn from the grid at random, for k = 1 … n;
    ``None`` where all k may be without a score.

    Of n scores in order the j-th best is the best of k with probability C(n - j, k - 1) / C(n, k):
    at k = 1 the result is the mean, at k = n the best found. It is the unbiased estimate of Tang et
    al. 2020, "Showing Your Work Doesn't Always Work". Dodge et al. 2019, "Show Your Work", section
    3.1, and the bootstrap of Lucic et al. 2018, "Are GANs Created Equal?", draw with replacement,
    for settings that were themselves drawn at random. Nobody trains a setting of a grid twice; the
    best of all n would fall short of the best found; and with one setting that diverged, k draws of
    it have a probability above 0 for every k, so that no expectation would exist.
    """
    return _scores(_expected(_losses([scores], higher_is_better)[0]), higher_is_better)


def intervals(
    runs: Sequence[Sequence[float | None]], factor: float, higher_is_better: bool
) -> Intervals | None:
    """Of ``near_best`` and ``expected_best`` over seeds; ``None`` below ``LEAST_SEEDS`` of them.

    ``runs``: by setting, by seed, the same seeds for all. The percentile bootstrap over seeds: a
    resample takes the same ones for every setting.
    """
    losses = _losses(runs, higher_is_better)
    seeds = losses.shape[1]
    if seeds < LEAST_SEEDS:
        return None
    drawn = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    medians = np.stack([np.median(row[drawn], axis=1) for row in losses])
    counts, near = _near(medians, factor, higher_is_better), None
    if counts is not None and np.isfinite(medians).any():
        fewest, most = _ends(counts)
        near = (int(fewest), int(most))
    low, high = _ends(_expected(medians))
    if higher_is_better:
        low, high = high, low
    ends = (_scores(end, higher_is_better) for end in (low, high))
    return Intervals(near, tuple(zip(*ends, strict=True)))


def _near(losses: _Losses, factor: float, higher_is_better: bool) -> NDArray[np.int64] | None:
    best = losses.min(axis=0)
    scores = -losses if higher_is_better else losses
    if (scores[np.isfinite(losses)] < 0).any() or (best == 0).any():
        return None
    limit = best / factor if higher_is_better else best * factor
    counts: NDArray[np.int64] = ((losses <= limit) & np.isfinite(losses)).sum(axis=0)
    return counts


def _expected(losses: _Losses) -> _Losses:
    """By number of trials, in place of settings."""
    n = len(losses)
    trials = np.arange(1, n + 1).reshape(n, *[1] * (losses.ndim - 1))
    weights = [
        [math.comb(n - j, k - 1) / math.comb(n, k) for j in range(1, n + 1)]
        for k in range(1, n + 1)
    ]
    ordered = np.sort(losses, axis=0)
    lost = np.isinf(ordered)
    means = np.array(weights) @ np.where(lost, 0, ordered)
    return np.where(trials > lost.sum(axis=0), means, math.inf)


def _ends(values: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Of the interval over the last axis: values that occur, since ∞ cannot be interpolated."""
    ends: NDArray[np.float64] = np.quantile(
        values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1, method="inverted_cdf"
    )
    return ends


def _losses(rows: Sequence[Sequence[float | None]], higher_is_better: bool) -> _Losses:
    sign = -1 if higher_is_better else 1
    return np.array(
        [
            [sign * v if v is not None and math.isfinite(v) else math.inf for v in row]
            for row in rows
        ],
        dtype=np.float64,
    )


def _scores(losses: _Losses, higher_is_better: bool) -> list[float | None]:
    scores = 0.0 - losses if higher_is_better else losses
    return [float(score) if math.isfinite(score) else None for score in scores]
