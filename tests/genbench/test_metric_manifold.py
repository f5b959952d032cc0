"""Precision, recall, density, coverage against prdc, expectations and conventions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch import Tensor

from genbench.errors import UsageError
from genbench.metrics import distances
from genbench.metrics.manifold import Manifold, manifold_scores, neighbour_radii


def normal(count: int, seed: int, dimension: int = 6) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def whole(count: int, seed: int) -> Tensor:
    """Small whole numbers: many distances tie, and many rows are copies."""
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, 3, (count, 4), generator=stream).float()


def rectified(count: int, seed: int) -> Tensor:
    """Like the features of a network: many, none below 0, far from the origin."""
    return normal(count, seed, dimension=512).add(0.3).relu()


ROWS = {
    "generic": (normal(150, 0), 0.8 * normal(130, 1)),
    "ties and copies": (whole(150, 0), whole(130, 1)),
    "rectified": (rectified(900, 0), rectified(700, 1)),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_equals_prdc(rows: str, neighbours: int) -> None:
    reference, generated = ROWS[rows]
    theirs = compute_prdc(reference.double().numpy(), generated.double().numpy(), neighbours)
    ours = manifold_scores(reference, generated, neighbours)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, generated = normal(90, 2), normal(70, 3)
    scores = manifold_scores(reference, generated, 5)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 700)
    assert manifold_scores(reference, generated, 5) == scores


def test_radii_equal_the_differences_own_to_the_bit() -> None:
    for x, _ in ROWS.values():
        every = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
        assert neighbour_radii(x, 5).equal(every.sort(dim=1).values[:, 5])


def test_a_set_against_itself_in_any_order() -> None:
    """Each ball holds its own centre and k - 1 others: the k-th lies on its border, outside."""
    x = normal(200, 4)
    scores = manifold_scores(x, x.flip(0), 5)
    assert scores == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_expectations_for_equal_distributions() -> None:
    """E density = 1; E coverage = 1 - (N-1)…(N-k)/((M+N-1)…(M+N-k)) (Naeem et al. 2020)."""
    n, m, k = 120, 100, 3
    draws = [manifold_scores(normal(n, 2 * i), normal(m, 2 * i + 1), k) for i in range(100)]
    density = np.array([draw["density"] for draw in draws])
    coverage = np.array([draw["coverage"] for draw in draws])
    expected = 1 - np.prod([(n - i) / (m + n - i) for i in range(1, k + 1)])
    assert abs(density.mean() - 1) < 4 * density.std() / 10
    assert abs(coverage.mean() - expected) < 4 * coverage.std() / 10


def test_collapsed_generator_is_precise_and_recalls_nothing() -> None:
    reference = normal(300, 5)
    generated = reference[:1] + 1e-3 * normal(300, 6)
    scores = manifold_scores(reference, generated, 5)
    assert scores["precision"] > 0.95
    assert scores["recall"] < 0.05
    assert scores["coverage"] < 0.05


def test_swapping_the_sides_swaps_precision_and_recall() -> None:
    x, y = normal(200, 7), 0.5 * normal(150, 8)
    one, other = manifold_scores(x, y, 5), manifold_scores(y, x, 5)
    assert one["precision"] == other["recall"]
    assert one["recall"] == other["precision"]
    assert one["precision"] != one["recall"]


def test_needs_more_samples_than_neighbours() -> None:
    metric = Manifold()
    metric.update({"features": torch.zeros(6, 2)}, "reference")
    metric.update({"features": torch.zeros(5, 2)}, "generated")
    with pytest.raises(UsageError, match="manifold needs at least 6 generated samples"):
        metric.compute()
