"""Vendi score against its authors' package and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from vendi_score import vendi

from genbench.metrics.resampling import jackknife
from genbench.metrics.vendi import vendi_score


@pytest.mark.parametrize("shape", [(200, 16), (16, 200), (50, 50)])
def test_equals_vendi_score(shape: tuple[int, int]) -> None:
    x = torch.randn(shape, dtype=torch.float64) + 0.5
    assert vendi_score(x).value == pytest.approx(vendi.score_dual(x.numpy()), rel=1e-9)


@pytest.mark.parametrize("copies", [1, 7])
def test_orthogonal_rows_are_counted_once_each(copies: int) -> None:
    x = torch.eye(5).repeat(copies, 1) * torch.rand(5 * copies, 1).add(0.1)
    assert vendi_score(x).value == pytest.approx(5, rel=1e-9)


def test_one_direction_counts_as_one() -> None:
    assert vendi_score(torch.rand(40, 1).add(0.1) * torch.ones(1, 8)).value == pytest.approx(1)


def test_two_groups_of_unequal_size() -> None:
    """exp of the entropy of (3/4, 1/4)."""
    x = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 2.0]])
    expected = (4 / 3) ** 0.75 * 4**0.25
    assert vendi_score(x).value == pytest.approx(expected, rel=1e-9)


def test_features_that_are_all_zero_count_as_one() -> None:
    assert vendi_score(torch.zeros(10, 4)).value == 1


def mixed(count: int, stream: torch.Generator) -> Tensor:
    """Directions about the axes of six dimensions, unequally often."""
    shares = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    axis = shares.multinomial(count, replacement=True, generator=stream)
    return torch.eye(6)[axis] + 0.2 * torch.randn(count, 6, generator=stream)


def test_interval_holds_in_about_95_of_100_draws() -> None:
    """About the mean over draws, since the score of few samples is biased."""
    stream = torch.Generator().manual_seed(0)
    draws = [vendi_score(mixed(150, stream)) for _ in range(400)]
    truth = sum(draw.value for draw in draws) / len(draws)
    held = sum((draw.low or 0) <= truth <= (draw.high or 0) for draw in draws)
    assert 0.9 <= held / 400 <= 0.99


def test_interval_agrees_with_the_jackknife_s_over_single_rows() -> None:
    x = mixed(200, torch.Generator().manual_seed(1))
    without = [vendi_score(torch.cat([x[:row], x[row + 1 :]])).value for row in range(len(x))]
    ours, theirs = vendi_score(x), jackknife(vendi_score(x).value, without)
    assert (ours.high or 0) - ours.value == pytest.approx(
        (theirs.high or 0) - theirs.value, rel=0.1
    )


def test_rows_of_zeros_have_their_part_in_the_interval() -> None:
    """Half of two orthogonal directions, half nothing: H is -Σ p log p, p = n₁/N and n₂/N."""
    x = torch.cat([torch.eye(2).repeat(25, 1), torch.zeros(50, 2)])
    p = torch.tensor([0.25, 0.25], dtype=torch.float64)
    slope = -p.log() - 1
    variance = float((p * slope.square()).sum() - (p * slope).sum() ** 2) / 99
    estimate = vendi_score(x)
    assert estimate.value == pytest.approx(math.exp(float(torch.special.entr(p).sum())))
    half = stats.t.ppf(0.975, 99) * math.sqrt(variance)
    assert estimate.high == pytest.approx(estimate.value * math.exp(half), rel=1e-9)


def test_no_interval_where_the_samples_fit_the_dimensions() -> None:
    estimate = vendi_score(torch.randn(16, 16))
    assert (estimate.low, estimate.high) == (None, None)


def test_order_does_not_matter() -> None:
    x = torch.randn(60, 8)
    assert vendi_score(x.roll(11, 0)).value == pytest.approx(vendi_score(x).value, rel=1e-12)


@pytest.mark.parametrize("norm", [1e-200, 1e-30, 1e-13, 1e13, 1e30, 1e200])
def test_the_norm_of_a_row_says_nothing(norm: float) -> None:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = vendi_score(x).value
    assert vendi_score(x * norm).value == pytest.approx(expected, rel=1e-9)
    some = x.new_tensor([norm, 1.0]).repeat(30)[:, None]
    assert vendi_score(x * some).value == pytest.approx(expected, rel=1e-9)
