"""What no score may depend on: origin, axes, order, how often a whole set is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.energy_distance import energy_distance
from genbench.metrics.frechet import frechet_distance
from genbench.metrics.gaussian_kernel import gaussian_mmd2
from genbench.metrics.inception_score import inception_scores
from genbench.metrics.kernel import polynomial_mmd2
from genbench.metrics.manifold import manifold_scores
from genbench.metrics.vendi import vendi_score

Score = Callable[[Tensor, Tensor], list[float]]


def frechet(x: Tensor, y: Tensor) -> list[float]:
    (mu1, sigma1), (mu2, sigma2) = ((z.mean(0), torch.atleast_2d(z.T.cov())) for z in (x, y))
    return [frechet_distance(mu1, sigma1, mu2, sigma2)]


def manifold(x: Tensor, y: Tensor) -> list[float]:
    return [estimate.value for estimate in manifold_scores(x, y, 3).values()]


SCORES: dict[str, Score] = {
    "frechet": frechet,
    "manifold": manifold,
    "energy": lambda x, y: [energy_distance(x, y).value],
    "gaussian": lambda x, y: [gaussian_mmd2(x, y).value],
    "polynomial": lambda x, y: [polynomial_mmd2(x, y).value],
    "vendi": lambda x, y: [vendi_score(y).value],
    "inception": lambda x, y: inception_scores(y).tolist(),
}
SHIFTED = ["frechet", "manifold", "energy", "gaussian"]
ROTATED = [*SHIFTED, "polynomial", "vendi"]
REPEATED = ["energy", "gaussian", "vendi", "inception"]
"""Those that see a set as a distribution: the others count pairs of different samples."""

often = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor, torch.Generator]:
    """Features of both sides, and a stream for what is done to them."""
    stream = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dimension = draw(st.integers(1, 12))
    mixture = torch.randn(dimension, dimension, generator=stream, dtype=torch.float64)
    x, y = (
        torch.randn(draw(st.integers(5, 60)), dimension, generator=stream, dtype=torch.float64)
        for _ in range(2)
    )
    return x @ mixture, y @ mixture + draw(st.floats(-2, 2)), stream


def same(score: Score, before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> None:
    assert score(*after) == pytest.approx(score(*before), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", SHIFTED)
@often
@given(case=pairs(), by=st.floats(-100, 100))
def test_shift(name: str, case: tuple[Tensor, Tensor, torch.Generator], by: float) -> None:
    x, y, _ = case
    same(SCORES[name], (x, y), (x + by, y + by))


@pytest.mark.parametrize("name", ROTATED)
@often
@given(case=pairs())
def test_rotation(name: str, case: tuple[Tensor, Tensor, torch.Generator]) -> None:
    x, y, stream = case
    size = x.shape[1]
    axes, _ = torch.linalg.qr(torch.randn(size, size, generator=stream, dtype=torch.float64))
    same(SCORES[name], (x, y), (x @ axes, y @ axes))


@pytest.mark.parametrize("name", SCORES)
@often
@given(case=pairs())
def test_permutation(name: str, case: tuple[Tensor, Tensor, torch.Generator]) -> None:
    x, y, stream = case
    shuffled = tuple(z[torch.randperm(len(z), generator=stream)] for z in (x, y))
    same(SCORES[name], (x, y), (shuffled[0], shuffled[1]))


@pytest.mark.parametrize("name", REPEATED)
@often
@given(case=pairs(), times=st.integers(2, 4))
def test_duplication(name: str, case: tuple[Tensor, Tensor, torch.Generator], times: int) -> None:
    x, y, _ = case
    same(SCORES[name], (x, y), (x.repeat(times, 1), y.repeat(times, 1)))
