"""Extrapolated Fréchet distance against numpy's regression and distances that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import linregress
from torch import Tensor

from genbench.api import Estimate
from genbench.api.errors import UsageError
from genbench.api.seeding import generator
from genbench.metrics.frechet import FrechetDistance
from genbench.metrics.frechet_infinity import (
    FrechetDistanceInfinity,
    frechet_distance_infinity,
    subset_sizes,
)


def normal(count: int, dimension: int, seed: int) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimension, generator=stream, dtype=torch.float64)


def test_sizes_are_the_published_ones_for_50_000() -> None:
    assert subset_sizes(50_000) == np.linspace(5000, 50_000, 15).astype("int32").tolist()


@pytest.mark.parametrize(("count", "least"), [(20, 2), (999, 99), (10_000, 1000), (80_000, 5000)])
def test_sizes_of_other_counts(count: int, least: int) -> None:
    sizes = subset_sizes(count)
    assert (len(sizes), sizes[0], sizes[-1]) == (15, least, count)
    assert sizes == sorted(set(sizes))


def test_is_the_regression_s_intercept_over_seeded_subsets() -> None:
    x, y = normal(300, 4, 0), 1.3 * normal(200, 4, 1) + 0.2
    distances = []
    for index, size in enumerate(subset_sizes(200)):
        stream = generator(5, "frechet_distance_infinity", index)
        part = y[torch.randperm(200, generator=stream)[:size]]
        root = sqrtm(np.cov(x.T) @ np.cov(part.T)).real
        shift = x.mean(dim=0) - part.mean(dim=0)
        distances.append(float(shift @ shift) + np.trace(np.cov(x.T) + np.cov(part.T) - 2 * root))
    expected = linregress(1 / np.array(subset_sizes(200)), distances).intercept
    assert frechet_distance_infinity(x, y, seed=5) == pytest.approx(expected, rel=1e-8)


def estimate(reference: Tensor, generated: Tensor, seed: int = 0) -> Estimate:
    metric = FrechetDistanceInfinity(seed=seed)
    metric.update({"features": reference}, "reference")
    metric.update({"features": generated}, "generated")
    return metric.compute()["frechet_distance_infinity"]


def test_bias_is_gone() -> None:
    """N(0, I) against N(0, 4I): D (2 - 1)² = D. The plain distance of 400 samples is off."""
    reference = normal(40_000, 20, 2)
    plain, extrapolated = [], []
    for seed in range(3, 23):
        generated = 2 * normal(400, 20, seed)
        metric = FrechetDistance()
        metric.update({"features": reference}, "reference")
        metric.update({"features": generated}, "generated")
        plain.append(metric.compute()["frechet_distance"].value)
        extrapolated.append(estimate(reference, generated).value)
    assert np.mean(plain) - 20 > 1
    assert abs(np.mean(extrapolated) - 20) < 0.4 * (np.mean(plain) - 20)


def test_equal_distributions_are_about_0() -> None:
    reference = normal(40_000, 8, 23)
    values = [estimate(reference, normal(1000, 8, seed)).value for seed in range(24, 44)]
    metric = FrechetDistance()
    metric.update({"features": reference}, "reference")
    metric.update({"features": normal(1000, 8, 24)}, "generated")
    assert abs(np.mean(values)) < 0.2 * metric.compute()["frechet_distance"].value


def test_the_seed_decides() -> None:
    x, y = normal(100, 3, 45), normal(100, 3, 46)
    torch.manual_seed(0)
    first = estimate(x, y, seed=1)
    torch.manual_seed(1)
    assert estimate(x, y, seed=1) == first
    assert estimate(x, y, seed=2).value != first.value


def test_notes_subsets_that_are_smaller_than_the_dimension() -> None:
    note = estimate(normal(100, 10, 47), normal(100, 10, 48)).note
    assert note == "subsets of 10 samples fit no covariance of 10 features"
    assert estimate(normal(110, 10, 49), normal(110, 10, 50)).note is None


def test_too_few_samples() -> None:
    with pytest.raises(UsageError, match="at least 20 generated samples; there are 19"):
        estimate(torch.randn(30, 2), torch.randn(19, 2))
    with pytest.raises(UsageError, match="at least 2 reference samples; there are 1"):
        estimate(torch.randn(1, 2), torch.randn(20, 2))
