"""Intervals of scores: what another draw of as many samples would have changed.

Only the draw of the samples is meant, with reference, extractor and generator held fixed; how
trainings differ is measured over seeds, in ``genbench.analysis.statistics``. The intervals hold at
95 %.

A bootstrap draws some samples twice, and a copy is nobody's neighbour and adds no rank: it is valid
for means over samples alone, whose limit stands here in closed form. What depends smoothly on means
and covariances takes the jackknife over groups (Efron & Tibshirani 1993, chapter 11; Shao & Wu
1989), which draws nothing twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from scipy.stats import norm, t
from torch import Tensor

from genbench.api import Estimate
from genbench.api.seeding import generator

LEVEL = 0.95
GROUPS = 20
"""Of the jackknife: enough for its error to be known to a sixth, few enough to be computed."""


def mean(x: Tensor, *, least: float = -math.inf) -> Estimate:
    """The mean of ``(N,)`` and its interval by Student's t; none for a single number. ``least``:
    what no score can be below."""
    x = x.double()
    value = float(x.mean())
    if len(x) < 2:
        return Estimate(value)
    return around(value, float(x.std()) / math.sqrt(len(x)), len(x) - 1, least=least)


def share(of: Tensor) -> Estimate:
    """The share that is true of ``(N,)`` bool, with the interval of Wilson 1927: it stays within
    [0, 1], and has a width where all or none are true."""
    count = len(of)
    value = int(of.sum()) / count
    z2 = float(norm.ppf((1 + LEVEL) / 2)) ** 2
    centre = (value + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (value * (1 - value) + z2 / (4 * count)) / count) / (1 + z2 / count)
    # Rounding may put an end on the wrong side of a share of 0 or 1.
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(value, min(low, value), max(high, value))


def jackknife(value: float, without: Sequence[float], *, least: float = -math.inf) -> Estimate:
    """``value`` of all, and its interval from the values ``without`` one group each of G ≥ 2 equal
    groups: the squared standard error is (G-1)/G Σ(θ₋ᵢ - θ̄)², with Student's t of G-1. ``least``:
    what no score can be below."""
    count = len(without)
    if not math.isfinite(value) or not all(map(math.isfinite, without)):
        return Estimate(value)
    centre = math.fsum(each / count for each in without)
    spread = math.hypot(*(each - centre for each in without))  # whose squares may be too large
    return around(value, math.sqrt((count - 1) / count) * spread, count - 1, least=least)


def over_groups(
    score: Callable[[Tensor], float], x: Tensor, *, least: float = -math.inf
) -> Estimate:
    """``score`` of the rows of ``x``, with its jackknife interval; without one if there are
    fewer than two rows a group."""
    value = score(x)
    if len(x) < 2 * GROUPS:
        return Estimate(value)
    group = groups(len(x)).to(x.device)
    without = [score(x[group != number]) for number in range(GROUPS)]
    return jackknife(value, without, least=least)


def enough(rows: int) -> int:
    """How many samples there must be for ``rows`` to be left without the largest group."""
    count = rows
    while count - -(-count // GROUPS) < rows:
        count += 1
    return count


def groups(count: int) -> Tensor:
    """The group of each of ``count`` samples, ``(N,)``, at random, whatever their order: of equal
    size, or one more."""
    return torch.randperm(count, generator=generator(0, "jackknife")) % GROUPS


def rescaled(estimate: Estimate, scale: Callable[[float], float]) -> Estimate:
    """``scale``, which rises, of the value and of the ends of its interval."""
    bounds = (estimate.low, estimate.high)
    low, high = (None if bound is None else scale(bound) for bound in bounds)
    return Estimate(scale(estimate.value), low, high, estimate.note)


def around(value: float, error: float, freedom: int, *, least: float = -math.inf) -> Estimate:
    """``value`` ± its standard ``error`` times Student's t of ``freedom`` degrees; without an
    interval where that is no number."""
    half = error * float(t.ppf((1 + LEVEL) / 2, freedom))
    if not math.isfinite(half):
        return Estimate(value)
    return Estimate(value, max(least, value - half), value + half)
