"""Kernel distance against torch-fidelity's KID and its average over every subset."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from genbench.api.errors import UsageError
from genbench.metrics import distances
from genbench.metrics.kernel import Kernel, KernelDistance, polynomial_mmd2, squared_mmd
from genbench.metrics.resampling import jackknife


def test_equals_torch_fidelity_with_one_full_subset() -> None:
    x = torch.randn(200, 16, dtype=torch.float64)
    y = 1.3 * torch.randn(200, 16, dtype=torch.float64) + 0.2
    theirs = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=200, verbose=False)
    assert polynomial_mmd2(x, y).value == pytest.approx(
        theirs["kernel_inception_distance_mean"], rel=1e-10
    )


def test_is_the_mean_over_all_subsets() -> None:
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    theirs = [
        kernel_mmd(x[list(i)].numpy(), y[list(j)].numpy())
        for i in combinations(range(6), 3)
        for j in combinations(range(5), 3)
    ]
    assert polynomial_mmd2(x, y).value == pytest.approx(np.mean(theirs), rel=1e-10)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(37, 4), torch.randn(23, 4) + 1
    whole = polynomial_mmd2(x, y)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 100)
    parts = polynomial_mmd2(x, y)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.low == pytest.approx(whole.low, rel=1e-12)


def test_unbiased_for_equal_distributions() -> None:
    """Its mean over draws is 0 within four standard errors; that of the biased one is not."""
    stream = torch.Generator().manual_seed(0)
    values = [polynomial_mmd2(*torch.randn(2, 20, 4, generator=stream)).value for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(400)


def test_metric_needs_two_samples() -> None:
    metric = KernelDistance()
    metric.update({"features": torch.zeros(2, 3)}, "reference")
    metric.update({"features": torch.zeros(1, 3)}, "generated")
    with pytest.raises(UsageError, match="kernel_distance needs at least 2 generated samples"):
        metric.compute()


def linear(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.T


def laplacian(x: Tensor, y: Tensor) -> Tensor:
    return (-torch.cdist(x, y)).exp()


@pytest.mark.parametrize("kernel", [linear, laplacian])
@pytest.mark.parametrize("unbiased", [True, False])
def test_interval_is_the_jackknife_s_over_single_rows(kernel: Kernel, unbiased: bool) -> None:
    x, y = torch.randn(9, 3, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64) + 1
    ours = squared_mmd(kernel, x, y, unbiased=unbiased)
    without = [torch.cat([y[:row], y[row + 1 :]]) for row in range(len(y))]
    values = [squared_mmd(kernel, x, part, unbiased=unbiased).value for part in without]
    theirs = jackknife(ours.value, values, least=-math.inf if unbiased else 0.0)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_linear_kernel_in_closed_form() -> None:
    """Biased: the squared distance of the means; unbiased: less the variances over the counts."""
    x, y = torch.randn(30, 4, dtype=torch.float64), torch.randn(20, 4, dtype=torch.float64) + 1
    apart = float((x.mean(dim=0) - y.mean(dim=0)).square().sum())
    noise = float(x.var(dim=0).sum() / 30 + y.var(dim=0).sum() / 20)
    assert squared_mmd(linear, x, y, unbiased=False).value == pytest.approx(apart, rel=1e-9)
    assert squared_mmd(linear, x, y, unbiased=True).value == pytest.approx(apart - noise, rel=1e-9)


@pytest.mark.parametrize("shift", [0.3, 1.0])
def test_interval_holds_in_about_95_of_100_draws(shift: float) -> None:
    """With the linear kernel and a reference at ±1 in every dimension, whose U-statistic is known,
    the truth is |δ|² less the reference's noise."""
    stream = torch.Generator().manual_seed(0)
    reference = torch.tensor([[1.0], [-1.0]]).repeat(20, 3)
    truth = 3 * (shift**2 - float(reference[:, 0].var()) / 40)
    held = 0
    for _ in range(200):
        generated = torch.randn(60, 3, generator=stream) + shift
        estimate = squared_mmd(linear, reference, generated, unbiased=True)
        held += (estimate.low or 0) <= truth <= (estimate.high or 0)
    assert 0.9 <= held / 200 <= 0.99


def test_two_generated_samples_have_no_interval() -> None:
    estimate = polynomial_mmd2(torch.randn(5, 2), torch.randn(2, 2))
    assert (estimate.low, estimate.high) == (None, None)


def test_order_does_not_matter_and_sides_may_be_swapped() -> None:
    x, y = torch.randn(40, 5), torch.randn(30, 5) + 0.5
    value = polynomial_mmd2(x, y).value
    assert polynomial_mmd2(x.flip(0), y.roll(3, 0)).value == pytest.approx(value, rel=1e-9)
    assert polynomial_mmd2(y, x).value == pytest.approx(value, rel=1e-9)


def test_more_noise_never_improves_it() -> None:
    stream = torch.Generator().manual_seed(1)
    x, y, noise = torch.randn(3, 400, 6, generator=stream)
    values = [polynomial_mmd2(x, y + level * noise).value for level in (0, 1, 2, 4)]
    assert values == sorted(values)


def test_biased_is_never_below_0_and_within_its_interval() -> None:
    for seed in range(50):
        x = torch.randn(40, 5, generator=torch.Generator().manual_seed(seed))
        estimate = squared_mmd(laplacian, x, x.roll(seed, 0), unbiased=False)
        assert 0 <= (estimate.low or 0) <= estimate.value <= (estimate.high or 0)
