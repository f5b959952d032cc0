"""Vendi score against its authors' package and closed forms."""

from __future__ import annotations

import pytest
import torch
from vendi_score import vendi

from genbench.metrics.vendi import vendi_score


@pytest.mark.parametrize("shape", [(200, 16), (16, 200), (50, 50)])
def test_equals_vendi_score(shape: tuple[int, int]) -> None:
    x = torch.randn(shape, dtype=torch.float64) + 0.5
    assert vendi_score(x) == pytest.approx(vendi.score_dual(x.numpy()), rel=1e-9)


@pytest.mark.parametrize("copies", [1, 7])
def test_orthogonal_rows_are_counted_once_each(copies: int) -> None:
    x = torch.eye(5).repeat(copies, 1) * torch.rand(5 * copies, 1).add(0.1)
    assert vendi_score(x) == pytest.approx(5, rel=1e-9)


def test_one_direction_counts_as_one() -> None:
    assert vendi_score(torch.rand(40, 1).add(0.1) * torch.ones(1, 8)) == pytest.approx(1)


def test_two_groups_of_unequal_size() -> None:
    """exp of the entropy of (3/4, 1/4)."""
    x = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 2.0]])
    expected = (4 / 3) ** 0.75 * 4**0.25
    assert vendi_score(x) == pytest.approx(expected, rel=1e-9)


def test_features_that_are_all_zero_count_as_one() -> None:
    assert vendi_score(torch.zeros(10, 4)) == 1
