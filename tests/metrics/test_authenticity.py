"""Authenticity against a brute-force count and a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import KDTree
from scipy.special import betainc
from torch import Tensor

from genbench.api import Estimate
from genbench.api.errors import UsageError
from genbench.metrics import distances
from genbench.metrics.authenticity import Authenticity, authentic


def normal(count: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def estimate(generated: Tensor, train: Tensor) -> Estimate:
    metric = Authenticity()
    metric.update({"features": train}, "train")
    metric.update({"features": generated}, "generated")
    return metric.compute()["authenticity"]


def test_equals_search_trees() -> None:
    train, generated = normal(400, 3, 0), normal(300, 3, 1)
    tree = KDTree(train.double().numpy())
    to_train, nearest = tree.query(generated.double().numpy())
    between = tree.query(train.double().numpy(), k=2)[0][:, 1]
    expected = between[nearest] < to_train
    assert 0 < expected.sum() < 300
    assert authentic(generated, train).numpy().tolist() == expected.tolist()


def test_blocks_and_order_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    train, generated = normal(50, 2, 2), normal(40, 2, 3)
    whole = authentic(generated, train)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 300)
    assert authentic(generated.flip(0), train.roll(7, 0)).flip(0).equal(whole)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_unseen_real_samples_in_closed_form(dimension: int) -> None:
    """A point of a Poisson process and its nearest are each other's nearest with probability
    1/(2 - V), where V is the part of a ball that another one about its surface covers (Pickard
    1982): 2/3 on the line."""
    stream = torch.Generator().manual_seed(dimension)
    train = torch.rand(4000, dimension, generator=stream)
    inner = 0.2 + 0.6 * torch.rand(4000, dimension, generator=stream)
    share = 1 - 1 / (2 - betainc((dimension + 1) / 2, 0.5, 0.75))
    error = (share * (1 - share) / 4000) ** 0.5
    # Generated samples share their neighbours, so that they scatter somewhat more.
    assert abs(estimate(inner, train).value - share) < 6 * error


def test_copies_are_not_authentic() -> None:
    train = normal(200, 16, 4)
    assert estimate(train.flip(0), train).value == 0
    assert estimate(train + 1e-6 * normal(200, 16, 5), train).value == 0


def test_copies_of_a_sample_that_is_stored_twice_are_not_authentic() -> None:
    train = normal(50, 4, 6).repeat(2, 1)
    assert estimate(train, train).value == 0


def test_samples_far_off_are_authentic() -> None:
    assert estimate(normal(50, 4, 7) + 100, normal(50, 4, 8)).value == 1


def test_more_copies_never_improve_it() -> None:
    train, fresh = normal(200, 8, 9), normal(200, 8, 10)
    values = [
        estimate(torch.cat([train[:copies], fresh[copies:]]), train).value
        for copies in (0, 50, 100, 200)
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0


def test_interval_holds_in_about_95_of_100_draws() -> None:
    train = normal(100, 2, 11)
    truth = estimate(normal(20_000, 2, 12), train).value
    draws = [estimate(normal(80, 2, 100 + seed), train) for seed in range(200)]
    held = [(draw.low or 0) <= truth <= (draw.high or 0) for draw in draws]
    assert 0.9 <= np.mean(held) <= 0.99
    theirs = stats.binomtest(round(80 * draws[0].value), 80).proportion_ci(0.95, method="wilson")
    assert (draws[0].low, draws[0].high) == pytest.approx((theirs.low, theirs.high))


def test_one_training_sample_has_no_other() -> None:
    with pytest.raises(UsageError, match="authenticity needs at least 2 train samples"):
        estimate(torch.zeros(3, 2), torch.zeros(1, 2))


def test_a_note_says_how_many_training_samples_are_copies() -> None:
    train = torch.cat([normal(50, 3, 20), normal(1, 3, 21).repeat(4, 1)])
    note = estimate(normal(30, 3, 22), train).note or ""
    assert note.startswith("4 of 54 train samples are copies of others")
    assert estimate(normal(30, 3, 22), normal(50, 3, 20)).note is None
