"""Feature likelihood divergence against its released algorithm by autograd, and conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from genbench.api import Estimate
from genbench.api.errors import UsageError
from genbench.metrics import distances
from genbench.metrics.feature_likelihood import (
    FeatureLikelihoodDivergence,
    feature_likelihood_divergence,
    fit_log_variances,
    permuted,
)


def normal(count: int, dimension: int, seed: int) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimension, generator=stream, dtype=torch.float64)


def log_likelihoods(x: Tensor, centres: Tensor, log_variances: Tensor) -> Tensor:
    """Of each row of ``x`` by each Gaussian, as torch has it: ``(N, M)``."""
    deviations = (log_variances / 2).exp()[:, None].expand_as(centres)
    return Independent(Normal(centres, deviations), 1).log_prob(x[:, None])


def fitted(centres: Tensor, x: Tensor) -> Tensor:
    """The authors' procedure, by autograd over torch's own densities."""
    dimension = x.shape[1]
    least = torch.cdist(x, centres).square().min(dim=0).values
    log_variances = ((least + 1e-3) / dimension).log().requires_grad_()
    origin = torch.zeros((), dtype=x.dtype, requires_grad=True)
    shrunk = x.mean(dim=0) + 0.9 * (x - x.mean(dim=0))
    adam = torch.optim.Adam([log_variances, origin], lr=0.5)
    for _ in range(50):
        adam.zero_grad()
        by_centres = log_likelihoods(x, centres, log_variances) - math.log(len(centres))
        by_origin = log_likelihoods(shrunk, x.mean(dim=0)[None], origin[None])
        log_p = torch.cat([by_centres, by_origin], dim=1).logsumexp(dim=1)
        (-log_p.mean() / dimension).backward()
        adam.step()
        with torch.no_grad():
            log_variances.clamp_(-40, 40)
    return log_variances.detach()


def negative_log_likelihood(x: Tensor, centres: Tensor, fitted_to: Tensor) -> Tensor:
    log_p = log_likelihoods(x, centres, fitted(centres, fitted_to)).logsumexp(dim=1)
    return (math.log(len(centres)) - log_p) / x.shape[1]


@pytest.mark.parametrize("dimension", [2, 12])
def test_widths_equal_the_authors_procedure(dimension: int) -> None:
    centres, x = normal(25, dimension, 0), normal(40, dimension, 1)
    centres[3] = x[5]
    expected = fitted(centres, x)
    assert fit_log_variances(centres, x).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_equals_the_authors_procedure() -> None:
    train, reference, generated = normal(60, 4, 2), 2 * normal(50, 4, 3), normal(35, 4, 4) + 0.3
    spread, mean = reference.std(dim=0), reference.mean(dim=0)
    units = [(x - mean) / spread for x in (train, reference, generated)]
    shuffled = permuted(units[0], 7, "train")
    by_generated = negative_log_likelihood(units[1], units[2], units[0])
    by_real = negative_log_likelihood(units[1], shuffled[:30], shuffled[30:])
    expected = 100 * (by_generated - by_real)
    ours = feature_likelihood_divergence(train, reference, generated, seed=7)
    assert ours.value == pytest.approx(float(expected.mean()), rel=1e-6)
    half = 2.0095752371292397 * float(expected.std()) / math.sqrt(50)  # Student's t of 49
    assert (ours.low, ours.high) == pytest.approx((ours.value - half, ours.value + half), rel=1e-6)


def estimate(train: Tensor, reference: Tensor, generated: Tensor, seed: int = 0) -> Estimate:
    metric = FeatureLikelihoodDivergence(seed=seed)
    for side, x in (("train", train), ("reference", reference), ("generated", generated)):
        metric.update({"features": x}, side)
    return metric.compute()["feature_likelihood_divergence"]


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = normal(50, 3, 5), normal(40, 3, 6), normal(30, 3, 7)
    whole = estimate(*sets).value
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 200)
    assert estimate(*sets).value == pytest.approx(whole, rel=1e-9)


def test_unseen_real_samples_are_about_0() -> None:
    values = [
        estimate(normal(300, 6, seed), normal(200, 6, seed + 1), normal(150, 6, seed + 2)).value
        for seed in range(100, 130, 3)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(10)


def test_copies_collapse_noise_and_shift_all_raise_it() -> None:
    train, reference, generated = normal(300, 6, 8), normal(200, 6, 9), normal(150, 6, 10)
    real = estimate(train, reference, generated).value
    bad = {
        "copies": train[:150],
        "collapse": generated[:1].repeat(150, 1),
        "noise": generated + 2 * normal(150, 6, 11),
        "shift": generated + 2,
    }
    for x in bad.values():
        assert estimate(train, reference, x).value > real + 10


def test_does_not_depend_on_units_or_on_constant_features() -> None:
    sets = normal(80, 3, 12), normal(60, 3, 13), normal(40, 3, 14)
    scale = torch.tensor([1.0, 100.0, 0.01], dtype=torch.float64)
    value = estimate(*sets).value
    assert estimate(*(scale * x + 5 for x in sets)).value == pytest.approx(value, rel=1e-6)
    constant = [torch.cat([x, torch.ones(len(x), 1)], dim=1) for x in sets]
    assert math.isfinite(estimate(*constant).value)


def test_the_seed_splits_the_training_set() -> None:
    sets = normal(60, 3, 15), normal(50, 3, 16), normal(40, 3, 17)
    assert estimate(*sets, seed=1) == estimate(*sets, seed=1)
    assert estimate(*sets, seed=1).value != estimate(*sets, seed=2).value


def test_too_few_samples() -> None:
    x = normal(5, 2, 18)
    with pytest.raises(UsageError, match="needs at least 2 train samples; there are 1"):
        estimate(x[:1], x, x)
    with pytest.raises(UsageError, match="needs at least 2 reference samples; there are 1"):
        estimate(x, x[:1], x)
