"""Is one group of entries above another? Ranks over seeds, exact tests, corrected.

A run without a value (diverged) ranks last. What one seed came to for all entries of a group is
one block: entries that sample the same weights, or saw the same batches, are not independent,
and only seeds are drawn at random here, not entries. A comparison therefore speaks of these
entries, equally weighted, and of no others.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit

from genbench.analysis.statistics.summaries import LEVEL

PERMUTATIONS = 200_000
"""At most: all, where there are no more."""

RunValues = Sequence[Sequence[float | None]]
"""Of one group: by entry, by seed, all of the same seeds; ``None`` for a run without value."""


@dataclass(frozen=True)
class GroupComparison:
    """Of a group A with a group B in one quantity."""

    probability: float
    """That a run of A is above one of B, ties counting half, averaged over the pairs of their
    entries: in [0, 1] (*probability of improvement*, Agarwal et al. 2021, section 4.3)."""
    low: float | None
    high: float | None
    """Ends of its 95 % interval; ``None`` with one seed on a side."""
    p: float | None
    """Two-sided, that blocks of seeds fall so far apart by chance; ``None`` likewise."""
    seeds: tuple[int, int]
    """Of A and of B."""


def compare(a: RunValues, b: RunValues, *, last: Literal["lowest", "highest"]) -> GroupComparison:
    """Group A against group B. ``last``: whether a run without a value ranks ``"lowest"`` or
    ``"highest"``.

    The p-value is that of the permutation test over blocks of seeds, on the difference of their
    mean ranks; for one entry a side it is the Wilcoxon–Mann–Whitney test. It is exact where
    the groups are exchangeable, up to ten seeds a side, and drawn from 200,000 permutations beyond.
    Give both sides as many seeds: without that it is sensitive to unequal variances.

    The interval is Brunner & Munzel's (2000, "The Nonparametric Behrens–Fisher Problem"), over
    blocks and on the scale of the logit: Welch's t on the placements, the mean of what each block
    of one group wins against those of the other. Where one group wins all or nothing they have no
    variance, and it is Newcombe's (2006, "Confidence intervals for an effect size measure based
    on the Mann–Whitney statistic", part 2, method 5). In simulations at three, five and ten seeds,
    with one entry a side or several that share a seed's luck, it held the truth in 95 to 100 %
    of cases, and the percentile bootstrap over seeds (Agarwal et al. 2021, section 4.1) in 20 to
    94 %.
    """
    wins = _wins(*(_array(side, last) for side in (a, b)))
    probability = float(wins.mean())
    seeds = (len(wins), wins.shape[1])
    if min(seeds) < 2:
        return GroupComparison(probability, None, None, None, seeds)
    ranks_a, ranks_b = pooled_ranks(a, b, last=last)
    p = _permutation(ranks_a.mean(axis=0), ranks_b.mean(axis=0))
    return GroupComparison(probability, *_interval(wins), p, seeds)


def share_above(a: RunValues, b: RunValues, *, last: Literal["lowest", "highest"]) -> float:
    """The ``probability`` of ``compare`` alone, without its test."""
    return float(_wins(*(_array(side, last) for side in (a, b))).mean())


def _wins(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """By seed of A and by seed of B, the share of the pairs of their entries, ``(entries, seeds)``
    each, in which A is above B, ties counting half."""
    wins = np.empty((x.shape[1], y.shape[1]))
    for seed, of_b in enumerate(np.sort(y, axis=0).T):
        below, up_to = (np.searchsorted(of_b, x, side=side) for side in ("left", "right"))
        wins[:, seed] = (below + up_to).sum(axis=0)
    return wins / (2 * len(x) * len(y))


def pooled_ranks(
    a: RunValues, b: RunValues, *, last: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rank of every run among those of both groups, ``(entries, seeds)`` each: 1 is the
    lowest; equal values, and all runs without one, share the mean of their ranks."""
    x, y = (_array(side, last) for side in (a, b))
    ranks = stats.rankdata(np.concatenate([x.ravel(), y.ravel()]))
    return ranks[: x.size].reshape(x.shape), ranks[x.size :].reshape(y.shape)


def _array(runs: RunValues, last: str) -> NDArray[np.float64]:
    worst = {"lowest": -math.inf, "highest": math.inf}[last]
    return np.array(
        [[v if v is not None and math.isfinite(v) else worst for v in row] for row in runs],
        dtype=np.float64,
    )


def holm(p: Sequence[float]) -> list[float]:
    """The p-values adjusted so that the risk of one false rejection among all of them is kept (Holm
    1979): multiplied by m, m - 1, … from the least up, never falling, at most 1."""
    order = np.argsort(p, kind="stable")
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def _permutation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if math.comb(len(a) + len(b), len(a)) > PERMUTATIONS:
        return _drawn(a, b)
    result = stats.permutation_test(
        (a, b),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="independent",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=10_000,
    )
    return float(result.pvalue)


def _drawn(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The same over random permutations, the observed one among them (Phipson & Smyth 2010)."""
    pooled = np.concatenate([a, b])
    # The sum of one side tells the difference, as that of both is always the same.
    splits = _splits(len(pooled), len(a))
    sums = np.concatenate([part.astype(np.float64) @ pooled for part in splits])
    observed, tolerance = a.sum(), 1e-14 * np.abs(pooled).sum()
    tails = (sums >= observed - tolerance).sum(), (sums <= observed + tolerance).sum()
    return float(min(1.0, 2 * (min(tails) + 1) / (len(sums) + 1)))


@lru_cache(maxsize=1)
def _splits(count: int, size: int) -> list[NDArray[np.bool_]]:
    """The ``size`` of ``count`` that are drawn, by row, in parts of 10,000 rows: ``PERMUTATIONS``
    in all, or as many as 32 MB hold."""
    rng = np.random.default_rng(0)
    splits = []
    for _ in range(max(1, min(PERMUTATIONS, 2**25 // count) // 10_000)):
        drawn = rng.random((10_000, count)).argpartition(size - 1, axis=1)[:, :size]
        splits.append(np.zeros((10_000, count), np.bool_))
        np.put_along_axis(splits[-1], drawn, True, axis=1)
    return splits


def _interval(wins: NDArray[np.float64]) -> tuple[float, float]:
    probability, counts = float(wins.mean()), wins.shape
    placements = wins.mean(axis=1), wins.mean(axis=0)
    parts = [float(x.var(ddof=1)) / len(x) for x in placements]
    squared_error = sum(parts)
    if probability in (0, 1) or squared_error == 0:
        return _newcombe(probability, *counts)
    freedom = squared_error**2 / sum(
        part**2 / (count - 1) for part, count in zip(parts, counts, strict=True)
    )
    slope = 1 / (probability * (1 - probability))  # of the logit
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(squared_error) * slope
    centre = float(logit(probability))
    return float(expit(centre - half)), float(expit(centre + half))


def _newcombe(probability: float, m: int, n: int) -> tuple[float, float]:
    """Where (P - θ)² = z² V(θ), with the variance that exponential distributions would give."""
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    shared = (m + n) / 2 - 1

    def beyond(theta: float) -> float:
        variance = theta * (1 - theta) / (m * n)
        variance *= 1 + shared * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (probability - theta) ** 2 - z**2 * variance

    tiny = 1e-9
    low = 0.0 if probability == 0 else float(brentq(beyond, tiny, probability - tiny))
    high = 1.0 if probability == 1 else float(brentq(beyond, probability + tiny, 1 - tiny))
    return low, high


@dataclass(frozen=True)
class Difference:
    """Between two means, by Welch's t (Welch 1947): variances need not be equal."""

    value: float
    low: float
    high: float
    """Ends of its 95 % interval."""
    p: float
    """Two-sided; 0 where neither side varies and the means differ."""


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """The mean of ``a`` less that of ``b``, of two values or more each.

    For few seeds: where values are near normal it has power with two, where rank tests have none
    and the bootstrap does not hold its level.
    """
    x, y = (np.asarray(side, dtype=np.float64) for side in (a, b))
    value = float(x.mean() - y.mean())
    if np.ptp(x) == 0 and np.ptp(y) == 0:  # the mean of equal numbers may be another
        return Difference(value, value, value, 1.0 if value == 0 else 0.0)
    with warnings.catch_warnings():
        # One side may be without variance: the formula holds, and scipy warns.
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        found = stats.ttest_ind(x, y, equal_var=False)
    interval = found.confidence_interval(LEVEL)
    return Difference(value, float(interval.low), float(interval.high), float(found.pvalue))


def welch_all(rows: Sequence[Sequence[float]]) -> list[float]:
    """The p-value of ``welch`` for every pair of ``rows`` that have two values or more: of many, at
    once."""
    sides = [np.asarray(row, dtype=np.float64) for row in rows if len(row) > 1]
    means = np.array([side.mean() for side in sides])
    errors = np.array([side.var(ddof=1) / len(side) if np.ptp(side) else 0.0 for side in sides])
    freedoms = np.array([len(side) - 1 for side in sides])
    i, j = np.triu_indices(len(sides), k=1)
    difference, error = means[i] - means[j], errors[i] + errors[j]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = error**2 / (errors[i] ** 2 / freedoms[i] + errors[j] ** 2 / freedoms[j])
        p = 2 * stats.t.sf(np.abs(difference) / np.sqrt(error), freedom)
    p = np.where(error == 0, np.where(difference == 0, 1.0, 0.0), p)
    found: list[float] = p.tolist()
    return found
