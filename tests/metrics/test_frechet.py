"""Fréchet distance against torch-fidelity, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from genbench.api.errors import UsageError
from genbench.metrics import frechet
from genbench.metrics.frechet import FrechetDistance, frechet_distance


def samples(count: int, dimension: int, seed: int, rank: int | None = None) -> Tensor:
    """Correlated Gaussian rows with a spread-out spectrum, on a subspace of ``rank`` if given."""
    stream = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=stream, dtype=torch.float64)  # noqa: E731
    mix = normal(rank or dimension, dimension) * torch.logspace(0, -3, dimension).double()
    return normal(count, rank or dimension) @ mix + normal(dimension)


def score(reference: Tensor, generated: Tensor, batch: int = 64) -> float:
    metric = FrechetDistance()
    for side, rows in (("reference", reference), ("generated", generated)):
        for part in rows.split(batch):
            metric.update({"features": part}, side)
    return metric.compute()["frechet_distance"].value


def traces(*sets: Tensor) -> float:
    return sum(float(torch.cov(x.T).trace()) for x in sets)


CASES = {
    "full rank": (samples(500, 24, 0), samples(400, 24, 1)),
    "fewer samples than dimensions": (samples(40, 64, 2), samples(30, 64, 3)),
    "one side on a subspace": (samples(300, 32, 4), samples(300, 32, 5, rank=7)),
    "both on subspaces": (samples(300, 32, 6, rank=5), samples(300, 32, 7, rank=9)),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_torch_fidelity(case: str) -> None:
    x, y = CASES[case]
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False
    )["frechet_inception_distance"]
    # Theirs makes √ε of the error ε of an eigenvalue that ought to be 0.
    assert abs(score(x, y) - theirs) < (1e-11 if case == "full rank" else 1e-6) * traces(x, y)


def test_equals_scipy_matrix_square_root() -> None:
    x, y = CASES["full rank"]
    sigma1, sigma2 = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(sigma1 @ sigma2).real
    shift = x.mean(0) - y.mean(0)
    expected = float(shift @ shift) + np.trace(sigma1 + sigma2 - 2 * root)
    assert abs(score(x, y) - expected) < 1e-9 * traces(x, y)


@pytest.mark.parametrize("decay", [0, 2, 4])
@pytest.mark.parametrize(
    ("n", "m", "rank"),
    [
        (20, 30, None),
        (40, 40, None),
        (41, 41, None),
        (42, 50, None),
        (200, 300, None),
        (200, 300, 39),
        (200, 20, None),
    ],
)
def test_equals_the_nuclear_norm_of_the_samples_products(
    n: int, m: int, rank: int | None, decay: int
) -> None:
    """With Σ = XᵀX/(n-1), tr (Σ₁Σ₂)^½ is the sum of singular values of X₁X₂ᵀ, which needs no
    covariance: 40 features, full rank and less, down to variances of 1e-8 (times those of a random
    mixture)."""
    stream = torch.Generator().manual_seed(n + m + decay)
    scales = torch.logspace(0, -decay, 40, dtype=torch.float64)
    parts = []
    for count, size in ((n, 40), (m, rank or 40)):
        normal = torch.randn(count, size, generator=stream, dtype=torch.float64)
        x = normal @ torch.randn(size, 40, generator=stream, dtype=torch.float64) * scales.flip(0)
        parts.append((x - x.mean(dim=0)) / (count - 1) ** 0.5)
    cross = torch.linalg.svdvals(parts[0] @ parts[1].T).sum()
    total = sum(part.square().sum() for part in parts)
    zero, sigma1, sigma2 = torch.zeros(40), *(part.T @ part for part in parts)
    value = frechet_distance(zero, sigma1, zero, sigma2)
    assert abs(value - float(total - 2 * cross)) < 1e-11 * total
    assert frechet_distance(zero, sigma1, zero, sigma1) < 1e-13 * total


def test_full_rank_takes_the_fast_way_and_less_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = {}
    root = frechet.root_of_full_rank
    monkeypatch.setattr(
        frechet, "root_of_full_rank", lambda *sigmas: ways.setdefault(case, root(*sigmas))
    )
    for case in CASES:
        score(*CASES[case])
    assert [case for case, way in ways.items() if way is not None] == ["full rank"]


def test_eigenvalues_that_are_wrong_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one by 1e-10 of the largest: the determinant does not agree."""
    x, y = samples(500, 24, 0), samples(400, 24, 1)
    right = score(x, y)

    def wrong(product: np.ndarray, **options: bool) -> np.ndarray:
        values = scipy.linalg.eigvalsh(product, **options)
        return values + 1e-10 * values[-1]

    monkeypatch.setattr(frechet, "eigvalsh", wrong)
    assert abs(score(x, y) - right) < 1e-13 * traces(x, y)


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e20, 1e200])
def test_follows_the_scale_of_the_features(scale: float) -> None:
    x, y = CASES["full rank"]
    zero, sigma1, sigma2 = torch.zeros(24), torch.cov(x.T), torch.cov(y.T)
    value = frechet_distance(zero, scale * sigma1, zero, scale * sigma2)
    assert value / scale == pytest.approx(frechet_distance(zero, sigma1, zero, sigma2), rel=1e-9)


def test_a_point_beside_a_gaussian() -> None:
    zero, sigma = torch.zeros(24), torch.cov(CASES["full rank"][0].T)
    for first, second in ((sigma, 0 * sigma), (0 * sigma, sigma)):
        value = frechet_distance(zero, first, zero, second)
        assert value == pytest.approx(float(sigma.trace()), rel=1e-12)


def test_diagonal_gaussians_in_closed_form() -> None:
    """|Δμ|² + Σ (σ₁ - σ₂)²."""
    mu1, mu2 = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0, 5.0])
    sigma1, sigma2 = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([3.0, 0.5, 2.0])
    expected = (mu1 - mu2).square().sum() + (sigma1 - sigma2).square().sum()
    value = frechet_distance(mu1, sigma1.square().diag(), mu2, sigma2.square().diag())
    assert value == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("start", [0, 5, 10], ids=["same", "overlapping", "orthogonal"])
def test_low_rank_gaussians_in_closed_form(start: int) -> None:
    """Commuting covariances of rank 10 in 300 dimensions, whose subspaces share 10, 5 or 0:
    rounding must not add up over the directions where there is nothing."""
    stream = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(300, 300, generator=stream, dtype=torch.float64))
    sigma1, sigma2 = torch.zeros(2, 300, dtype=torch.float64)
    sigma1[:10] = torch.rand(10, generator=stream).double() + 1
    sigma2[start : start + 10] = torch.rand(10, generator=stream).double() + 1
    covariance1, covariance2 = (basis * sigma.square() @ basis.T for sigma in (sigma1, sigma2))
    value = frechet_distance(torch.zeros(300), covariance1, torch.zeros(300), covariance2)
    assert value == pytest.approx(float((sigma1 - sigma2).square().sum()), rel=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_identical_sets_are_at_distance_zero(case: str) -> None:
    x, _ = CASES[case]
    assert 0 <= score(x, x) < 1e-12 * traces(x, x)


def test_far_means_do_not_cancel() -> None:
    x, y = samples(300, 8, 8), samples(300, 8, 9)
    assert score(x + 1e6, y + 1e6) == pytest.approx(score(x, y), rel=1e-6)


def test_float32_features_are_summed_in_float64() -> None:
    x, y = samples(300, 8, 10).float() + 100, samples(300, 8, 11).float() + 100
    assert score(x, y) == pytest.approx(score(x.double(), y.double()), rel=1e-9)


def test_batches_do_not_matter() -> None:
    x, y = CASES["full rank"]
    assert score(x, y, batch=1) == pytest.approx(score(x, y, batch=500), rel=1e-10)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["mean", "covariance"])
def test_what_is_not_finite_is_told_and_never_a_perfect_score(value: float, place: str) -> None:
    mean, covariance = torch.zeros(3), torch.eye(3)
    (mean if place == "mean" else covariance.view(-1))[0] = value
    for first, second in (((0, 1), (2, 3)), ((2, 3), (0, 1))):
        given = [mean, covariance, torch.zeros(3), torch.eye(3)]
        with pytest.raises(UsageError, match="frechet_distance needs finite features"):
            frechet_distance(*(given[i] for i in (*first, *second)))


def test_a_feature_that_is_not_finite_is_told() -> None:
    x, y = samples(20, 3, 12), samples(20, 3, 13)
    y[4, 1] = float("nan")
    with pytest.raises(UsageError, match="frechet_distance needs finite features"):
        score(x, y)


def test_one_sample_has_no_covariance() -> None:
    x = torch.zeros(1, 3)
    with pytest.raises(UsageError, match="at least 2 reference samples"):
        score(x, x)
