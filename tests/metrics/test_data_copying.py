"""C_T against scipy's Mann-Whitney test, its definition and conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from genbench.api.errors import UsageError
from genbench.metrics.data_copying import DataCopying, data_copying, mann_whitney_z


def clusters(count: int, seed: int, dimension: int = 2) -> Tensor:
    """Three round clusters far from each other, of unequal shares."""
    stream = torch.Generator().manual_seed(seed)
    shares = torch.tensor([0.5, 0.3, 0.2])
    label = shares.multinomial(count, replacement=True, generator=stream)
    centres = 20 * torch.eye(3, dimension) - 10 * torch.eye(3, dimension).roll(1, 0)
    return centres[label] + torch.randn(count, dimension, generator=stream)


def their_z(made: np.ndarray, unseen: np.ndarray) -> float:
    n, m = len(unseen), len(made)
    pairs, _ = mannwhitneyu(made, unseen, alternative="less")
    return (pairs - (n * m / 2 - 0.5)) / math.sqrt(n * m * (n + m + 1) / 12)


def their_score(
    train: np.ndarray, reference: np.ndarray, generated: np.ndarray, count: int = 3
) -> float:
    """Cell by cell, as the paper has it; clusters so far apart are found by any k-means."""
    if train.shape[1] > 64:
        reduce = PCA(64, svd_solver="full").fit(train)
        train, reference, generated = map(reduce.transform, (train, reference, generated))
    cells = KMeans(count, n_init=5, random_state=99).fit(train)
    weights, scores = [], []
    for cell in range(count):
        inside = [x[cells.predict(x) == cell] for x in (train, reference, generated)]
        tree = NearestNeighbors(n_neighbors=1).fit(inside[0])
        unseen, made = (tree.kneighbors(x)[0][:, 0] for x in inside[1:])
        if len(made) > 20:
            weights.append(len(unseen) / len(reference))
            scores.append(their_z(made, unseen))
    return float(np.dot(weights, scores) / np.sum(weights))


@pytest.mark.parametrize("levels", [5, 10**6])
def test_z_equals_scipy_s_pairs(levels: int) -> None:
    """Few levels: ties."""
    stream = torch.Generator().manual_seed(0)
    x = torch.randint(0, levels, (70,), generator=stream).double()
    y = torch.randint(0, levels, (50,), generator=stream).double()
    assert mann_whitney_z(x, y) == pytest.approx(their_z(x.numpy(), y.numpy()))
    assert mann_whitney_z(x, x + levels) < -8 < 8 < mann_whitney_z(x + levels, x)


@pytest.mark.parametrize("dimension", [3, 64, 80])
def test_equals_the_definition(dimension: int) -> None:
    train, reference = clusters(300, 1, dimension), clusters(200, 2, dimension)
    generated = torch.cat([train[:90] + 0.1, clusters(60, 3, dimension)])
    theirs = their_score(*(x.double().numpy() for x in (train, reference, generated)))
    assert data_copying(train, reference, generated, cells=3, seed=0) == pytest.approx(theirs)


def test_cells_with_few_generated_samples_do_not_count() -> None:
    """A generator that drops a cluster, all but 20 samples, is judged on the others."""
    train, reference = clusters(400, 4, 3), clusters(300, 5, 3)
    generated = clusters(300, 6, 3)
    few = torch.cat([generated[generated[:, 0] > 10], generated[generated[:, 0] < 5][:20]])
    theirs = their_score(*(x.double().numpy() for x in (train, reference, few)))
    assert data_copying(train, reference, few, cells=3, seed=0) == pytest.approx(theirs)


def test_neighbours_are_those_of_the_cell() -> None:
    """Beyond the border, near 9.5, samples lie nearer to training samples of the other cell."""
    stream = torch.Generator().manual_seed(0)
    wide, narrow, border = torch.rand(3, 60, 1, generator=stream)
    train = torch.cat([9 * wide, 15 + 0.1 * narrow])
    reference = torch.cat([9 * wide.flip(0) + 0.01, 12 + 4 * narrow.flip(0)])
    generated = torch.cat([9 * wide + 0.02, 10 + 3 * border])
    theirs = their_score(*(x.double().numpy() for x in (train, reference, generated)), count=2)
    assert data_copying(train, reference, generated, cells=2, seed=0) == pytest.approx(theirs)


def score(train: Tensor, reference: Tensor, generated: Tensor, **options: int) -> float:
    metric = DataCopying(**options)
    for side, x in (("train", train), ("reference", reference), ("generated", generated)):
        metric.update({"features": x}, side)
    return metric.compute()["data_copying"].value


def test_copies_are_far_below_0_and_noise_far_above() -> None:
    train, reference, fresh = clusters(300, 7), clusters(300, 8), clusters(300, 9)
    stream = torch.Generator().manual_seed(10)
    near = 0.01 * torch.randn(300, 2, generator=stream)
    assert score(train, reference, train + near) < -5
    assert abs(score(train, reference, fresh)) < 3
    assert score(train, reference, fresh + 100 * near) > 3


def test_equal_distributions_are_standard_normal_in_one_cell() -> None:
    """Given the training set; in three cells they spread less."""
    train = clusters(200, 11)

    def spread(cells: int) -> np.ndarray:
        draws = range(100, 300, 2)
        return np.array(
            [score(train, clusters(90, i), clusters(90, i + 1), cells=cells) for i in draws]
        )

    one, three = spread(1), spread(3)
    assert abs(one.mean()) < 0.4
    assert 0.8 < one.std() < 1.2
    assert three.std() < 0.85


def test_order_does_not_matter_and_the_seed_decides() -> None:
    sets = clusters(200, 12), clusters(150, 13), clusters(120, 14)
    whole = score(*sets, seed=3)
    assert score(*sets, seed=3) == whole
    assert score(*(x.flip(0) for x in sets), seed=3) == pytest.approx(whole)


def test_too_few_samples() -> None:
    x = clusters(100, 15)
    with pytest.raises(UsageError, match="more than 20 generated ones; there is none among 3"):
        score(x, x, x[:20])
    with pytest.raises(UsageError, match="data_copying needs at least 3 train samples"):
        score(x[:2], x, x)


def test_training_samples_that_are_all_alike_fill_one_cell() -> None:
    """Without k-means's warning, which is no user's concern."""
    x = torch.ones(60, 2)
    assert score(x, x, x) == pytest.approx(their_z(np.zeros(60), np.zeros(60)))
