"""Kernel distance against torch-fidelity's KID and its average over every subset."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from genbench.errors import UsageError
from genbench.metrics import distances
from genbench.metrics.kernel import KernelDistance, polynomial_mmd2


def test_equals_torch_fidelity_with_one_full_subset() -> None:
    x = torch.randn(200, 16, dtype=torch.float64)
    y = 1.3 * torch.randn(200, 16, dtype=torch.float64) + 0.2
    theirs = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=200, verbose=False)
    assert polynomial_mmd2(x, y) == pytest.approx(
        theirs["kernel_inception_distance_mean"], rel=1e-10
    )


def test_is_the_mean_over_all_subsets() -> None:
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    theirs = [
        kernel_mmd(x[list(i)].numpy(), y[list(j)].numpy())
        for i in combinations(range(6), 3)
        for j in combinations(range(5), 3)
    ]
    assert polynomial_mmd2(x, y) == pytest.approx(np.mean(theirs), rel=1e-10)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(37, 4), torch.randn(23, 4) + 1
    whole = polynomial_mmd2(x, y)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 100)
    assert polynomial_mmd2(x, y) == pytest.approx(whole, rel=1e-12)


def test_unbiased_for_equal_distributions() -> None:
    """Its mean over draws is 0 within four standard errors; that of the biased one is not."""
    stream = torch.Generator().manual_seed(0)
    values = [polynomial_mmd2(*torch.randn(2, 20, 4, generator=stream)) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(400)


def test_metric_needs_two_samples() -> None:
    metric = KernelDistance()
    metric.update({"features": torch.zeros(2, 3)}, "reference")
    metric.update({"features": torch.zeros(1, 3)}, "generated")
    with pytest.raises(UsageError, match="kernel_distance needs at least 2 generated samples"):
        metric.compute()
