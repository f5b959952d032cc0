"""Summaries over seeds of one entry, some of whose runs may have no value.

A run without a result (diverged, failed) is ranked last, never left out: a mean over the survivors
alone flatters the entry that diverges most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
"""Of every interval; 1 - LEVEL is the risk of one wrong claim among those decided together."""

LEAST_SEEDS = 5
"""A side, below which nothing is decided: with three a side the exact p is 0.1 at best, and
bootstrap intervals are too narrow."""

RESAMPLES = 10_000

LEAST_FOR_INTERVAL = 3
"""Seeds, below which a mean has no interval: of two, Student's t has one degree of freedom, and its
interval is some nine times as wide as the values lie apart."""

CVAR_LEVEL = 0.5
"""Share of the runs, from the worst, of which the risk is the mean. Chan et al. 2020 take the worst
5 %, which is less than one run of ten."""


@dataclass(frozen=True)
class Summary:
    """One output of one entry over its runs."""

    n: int
    """Runs started."""
    k: int
    """Runs that gave a finite value."""
    mean: float | None
    """Arithmetic mean; ``None`` unless every run gave a value."""
    deviation: float | None
    """Sample standard deviation, over n - 1; ``None`` where ``mean`` is, or n = 1."""
    median: float | None
    """With the runs that gave no value ranked last; ``None`` where it falls on such a run."""
    iqr: float | None
    """Interquartile range, ranked as the median; ``None`` where a quartile falls on a run without a
    value, or n = 1. It is the *dispersion across runs* of Chan et al. 2020, "Measuring the
    Reliability of Reinforcement Learning Algorithms"."""
    cvar: float | None
    """Mean of the worst ``CVAR_LEVEL`` of the runs, ranked as the median; ``None`` where a run
    without a value is among them, or n = 1. It is the *risk across runs* of Chan et al. 2020."""


def summarize(values: Sequence[float | None], higher_is_better: bool = False) -> Summary:
    """Summary of one value a run; ``None`` or a non-finite value for a run that gave none.

    ``higher_is_better`` says which end of the ranking is last.
    """
    row = ranked(values, higher_is_better)
    finite = [v for v in row if v is not None]
    n, k = len(row), len(finite)
    complete = 0 < n == k
    lower, upper = quantile(row, 0.25), quantile(row, 0.75)
    return Summary(
        n=n,
        k=k,
        mean=math.fsum(finite) / n if complete else None,
        deviation=_deviation(finite) if complete else None,
        median=quantile(row, 0.5),
        iqr=None if n < 2 or lower is None or upper is None else upper - lower,
        cvar=None if n < 2 else _expected_shortfall(row, higher_is_better),
    )


def ranked(values: Sequence[float | None], higher_is_better: bool) -> list[float | None]:
    """The values in ascending order, with a ``None`` at the worse end for every run that gave none
    or a non-finite one."""
    finite = sorted(v for v in values if v is not None and math.isfinite(v))
    missing: list[float | None] = [None] * (len(values) - len(finite))
    return [*missing, *finite] if higher_is_better else [*finite, *missing]


def quantile(row: Sequence[float | None], q: float) -> float | None:
    """The q-quantile (q in [0, 1]) of ranked values; ``None`` where it falls on a ``None``.

    Linear interpolation between order statistics: definition 7 of Hyndman and Fan 1996, "Sample
    Quantiles in Statistical Packages", numpy's default.
    """
    if not row:
        return None
    position = (len(row) - 1) * q
    below = math.floor(position)
    fraction = position - below
    low = row[below]
    if fraction == 0 or low is None:
        return low
    high = row[below + 1]
    return None if high is None else low + fraction * (high - low)


def interquartile_mean(values: Sequence[float | None], higher_is_better: bool) -> float | None:
    """Mean of the middle half of the runs, a quarter (rounded down) being cut at either end, with
    runs that gave no value ranked last; ``None`` where such a run is in it (Agarwal et al. 2021,
    "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4.3)."""
    row = ranked(values, higher_is_better)
    cut = len(row) // 4
    middle = [v for v in row[cut : len(row) - cut] if v is not None]
    if not row or len(middle) < len(row) - 2 * cut:
        return None
    return math.fsum(middle) / len(middle)


def _expected_shortfall(row: Sequence[float | None], higher_is_better: bool) -> float | None:
    """The conditional value at risk of ranked values: the mean of the worst share ``CVAR_LEVEL`` of
    them, of which the last counts in part where that is no whole number (Rockafellar & Uryasev
    2002, "Conditional Value-at-Risk for General Loss Distributions")."""
    worst_first = row if higher_is_better else row[::-1]
    mass = CVAR_LEVEL * len(row)
    total = 0.0
    for rank, value in enumerate(worst_first[: math.ceil(mass)]):
        if value is None:
            return None
        total += min(1.0, mass - rank) * value
    return total / mass


def centre(values: Sequence[float], minimum: float | None = None) -> float:
    """What ``mean_interval`` is about: the arithmetic mean, or the geometric one on a log scale."""
    if not is_ratio_scale(values, minimum):
        return math.fsum(values) / len(values)
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def mean_interval(
    values: Sequence[float], further: int | None = None, *, minimum: float | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of the mean by Student's t; ``None`` below ``LEAST_FOR_INTERVAL`` values.

    ``further``: of the mean of so many further runs of the same kind instead (the prediction
    interval, Hahn & Meeker 1991, "Statistical Intervals"): wider, by √(1/n + 1/k) for √(1/n).

    ``minimum``: of the score, as its ``Output`` declares it. Where it is 0 and all values are above
    it, the interval is taken of their logarithms: it never begins below zero, and is of the
    geometric mean.
    """
    n = len(values)
    if n < LEAST_FOR_INTERVAL:
        return None
    logarithmic = is_ratio_scale(values, minimum)
    scaled = [math.log(value) for value in values] if logarithmic else values
    mean = math.fsum(scaled) / n
    error = (_deviation(scaled) or 0.0) * math.sqrt(1 / n + (0 if further is None else 1 / further))
    half = error * float(stats.t.ppf((1 + LEVEL) / 2, n - 1))
    low, high = mean - half, mean + half
    return (math.exp(low), math.exp(high)) if logarithmic else (low, high)


def is_ratio_scale(values: Sequence[float], minimum: float | None) -> bool:
    """Whether values are compared by their ratios, on a log scale: the score declares a
    ``minimum`` of 0, and all of them are above it."""
    return minimum == 0 and min(values) > 0


def interquartile_intervals(
    runs: Sequence[Sequence[float | None]], higher_is_better: bool
) -> list[tuple[float, float] | None]:
    """Of each of some rows of values, all over as many seeds: the 95 % percentile bootstrap
    interval of the interquartile mean over seeds (Agarwal et al. 2021, section 4.1); ``None`` below
    ``LEAST_SEEDS``, where it is too narrow (at three it holds the truth in 74 % of cases), and
    where a run gave no value."""
    rows = [ranked(values, higher_is_better) for values in runs]
    whole = [row for row in rows if len(row) >= LEAST_SEEDS and None not in row]
    if not whole:
        return [None] * len(rows)
    means = np.array(whole, np.float64) @ _resamples(len(whole[0])).T
    ends = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1).T.tolist()
    found = iter(ends)
    return [
        tuple(next(found)) if len(row) >= LEAST_SEEDS and None not in row else None for row in rows
    ]


@lru_cache(maxsize=8)
def _resamples(count: int) -> NDArray[np.float64]:
    """``(RESAMPLES, count)``: with what weight each of ``count`` ordered values is in the
    interquartile mean of each bootstrap resample."""
    cut = count // 4
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    middle = np.sort(drawn, axis=1)[:, cut : count - cut]
    weights = np.zeros((RESAMPLES, count))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], middle), 1 / middle.shape[1])
    return weights


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    # Not the root of a sum of squares, which may be too large for a number.
    return math.hypot(*(v - mean for v in values)) / math.sqrt(len(values) - 1)
