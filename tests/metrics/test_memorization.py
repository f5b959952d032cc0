"""Memorization against a brute-force count and a closed form."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from scipy.spatial import KDTree
from torch import Tensor

from genbench.api.errors import UsageError
from genbench.metrics import distances, memorization
from genbench.metrics.memorization import Memorization, memorized


def normal(count: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def score(generated: Tensor, train: Tensor) -> float:
    metric = Memorization()
    metric.update({"features": train}, "train")
    metric.update({"features": generated}, "generated")
    return metric.compute()["memorized"].value


def test_equals_a_search_tree() -> None:
    train, generated = normal(400, 3, 0), normal(300, 3, 1)
    nearest, _ = KDTree(train.double().numpy()).query(generated.double().numpy(), k=2)
    expected = nearest[:, 0] < nearest[:, 1] / 3
    assert 0 < expected.sum() < 100
    assert memorized(generated, train).numpy().tolist() == expected.tolist()


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    train, generated = normal(50, 2, 2), normal(40, 2, 3)
    whole = memorized(generated, train)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 300)
    assert memorized(generated, train).equal(whole)


def test_copies_are_memorized() -> None:
    train = normal(200, 16, 4)
    assert score(train[torch.arange(200).flip(0)], train) == 1.0
    assert score(train + 1e-6 * normal(200, 16, 5), train) == 1.0


def test_fresh_samples_are_not() -> None:
    assert score(normal(500, 16, 6), normal(500, 16, 7)) < 0.01


def test_half_copies() -> None:
    train = normal(200, 32, 8)
    assert score(torch.cat([train[:50], normal(50, 32, 9)]), train) == 0.5


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_floor_for_uniform_data_is_a_third_to_the_dimension(dimension: int) -> None:
    """(d₁/d₂)^D is uniform on [0, 1] around any point of a Poisson process."""
    stream = torch.Generator().manual_seed(dimension)
    train = torch.rand(3000, dimension, generator=stream)
    inner = 0.2 + 0.6 * torch.rand(3000, dimension, generator=stream)
    share = (1 / 3) ** dimension
    error = (share * (1 - share) / 3000) ** 0.5
    assert abs(score(inner, train) - share) < 5 * error


def test_a_training_sample_that_is_stored_twice_counts_once() -> None:
    train = normal(100, 8, 10)
    doubled = torch.cat([train, train + 1e-7 * normal(100, 8, 11)])
    copies = train[:30] + 1e-6 * normal(30, 8, 12)
    generated = torch.cat([copies, normal(70, 8, 13)])
    assert score(generated, doubled) == score(generated, train) == pytest.approx(0.3, abs=0.02)


def test_all_distances_are_taken_for_rows_with_twins_only(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = []

    def counted(x: Tensor, y: Tensor) -> Tensor:
        entries.append(len(x) * len(y))
        return distances.euclidean(x, y)

    monkeypatch.setattr(memorization, "euclidean", counted)
    train = normal(50, 4, 14)
    generated = normal(40, 4, 15)
    whole = memorized(generated, train)
    assert sum(entries) == 0

    closest = distances.euclidean(generated, train).argmin(dim=1)
    doubled = torch.cat([train, train[closest[:1]]])
    assert memorized(generated, doubled).equal(whole)
    touched = int((closest == closest[0]).sum())
    assert sum(entries) == 2 * touched * 51


@pytest.mark.parametrize("train", [torch.zeros(50, 3), torch.full((50, 3), 7.1)])
def test_beside_one_sample_over_and_over_nothing_can_be_called_a_copy(train: Tensor) -> None:
    """There is no other sample to which a generated one could be nearer; noise is no copy."""
    with pytest.raises(UsageError, match="2 different train samples; all 50 are one"):
        score(normal(50, 3, 18), train)


def test_of_two_different_samples_the_copies_count_once_each() -> None:
    train = torch.cat([torch.zeros(30, 2), torch.ones(20, 2)])
    generated = torch.tensor([[0.0, 0.0], [0.1, 0.1], [0.4, 0.4], [0.6, 0.6], [1.1, 1.1]])
    assert memorized(generated, train).tolist() == [True, True, False, False, True]


def test_one_training_sample_has_no_second() -> None:
    with pytest.raises(UsageError, match="at least 2 train samples"):
        score(torch.zeros(3, 2), torch.zeros(1, 2))


def test_interval_is_that_of_a_share() -> None:
    train = normal(200, 32, 16)
    metric = Memorization()
    metric.update({"features": train}, "train")
    metric.update({"features": torch.cat([train[:30], normal(70, 32, 17)])}, "generated")
    estimate = metric.compute()["memorized"]
    theirs = stats.binomtest(30, 100).proportion_ci(0.95, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))
