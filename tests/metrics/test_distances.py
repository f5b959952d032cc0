"""Distances against scipy, where rounding would show."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import cdist

from genbench.metrics import distances
from genbench.metrics.distances import euclidean, paired, row_slices


def test_equals_scipy_far_from_the_origin() -> None:
    """Spread 1e-3 at offset 1e6: |x|² + |y|² - 2x·y would leave no digit right."""
    x, y = (1e6 + 1e-3 * torch.randn(n, 5, dtype=torch.float64) for n in (30, 40))
    expected = torch.from_numpy(cdist(x.numpy(), y.numpy()))
    torch.testing.assert_close(euclidean(x, y), expected, rtol=1e-12, atol=0)


def test_copies_are_at_distance_zero_and_pairs_are_symmetric() -> None:
    x = torch.randn(50, 33) + 10
    distance = euclidean(x, x)
    assert distance.dtype == torch.float64
    assert distance.diagonal().max() == 0
    assert distance.equal(distance.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blocks_and_pairs_change_no_bit(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = torch.randn(20, 37, dtype=dtype), torch.randn(30, 37, dtype=dtype)
    whole = euclidean(x, y)
    i, j = torch.randint(20, (50,)), torch.randint(30, (50,))
    for entries in (distances.BLOCK_ENTRIES, 100):
        monkeypatch.setattr(distances, "BLOCK_ENTRIES", entries)
        assert euclidean(x, y).equal(whole)
        assert paired(x, y, i, j).equal(whole[i, j])
    assert paired(x, y, i[:0], j[:0]).shape == (0,)


@pytest.mark.parametrize(("rows", "columns", "step"), [(10, 30, 3), (9, 30, 3), (5, 1000, 1)])
def test_slices_cover_every_row_once(
    rows: int, columns: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 100)
    slices = list(row_slices(rows, columns))
    assert [i for part in slices for i in range(rows)[part]] == [*range(rows)]
    assert max(part.stop - part.start for part in slices) == step
