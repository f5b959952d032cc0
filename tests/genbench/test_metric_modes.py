"""Mode coverage and high quality on mixtures whose modes are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genbench.errors import UsageError
from genbench.metrics.modes import Modes, fit_modes, mode_scores

SIGMA = 0.02


def ring(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """8 Gaussians of deviation 0.02 on the unit circle, and which one each sample is of."""
    stream = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 8, (count,), generator=stream)
    angle = label * math.pi / 4
    centre = torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + SIGMA * torch.randn(count, 2, generator=stream), label


def score(generated: Tensor, labels_offset: int = 0) -> dict[str, float]:
    reference, labels = ring(4000, 0)
    metric = Modes()
    metric.update({"features": reference, "labels": 3 * labels + labels_offset}, "reference")
    metric.update({"features": generated}, "generated")
    return {name: estimate.value for name, estimate in metric.compute().items()}


def test_modes_are_found() -> None:
    x, labels = ring(20_000, 1)
    mixture = fit_modes(x, labels)
    angle = torch.arange(8) * math.pi / 4
    expected = torch.stack([angle.cos(), angle.sin()], dim=1).double()
    assert (mixture.centres - expected).abs().max() < 5 * SIGMA / math.sqrt(2000)
    assert mixture.deviation == pytest.approx(SIGMA, rel=0.03)


def test_perfect_sampler() -> None:
    """In the plane P(|z| ≤ 3) = 1 - exp(-9/2), whatever the modes are called."""
    count = 20_000
    scores = score(ring(count, 2)[0], labels_offset=5)
    error = math.sqrt(0.011 * 0.989 / count)
    assert scores["mode_coverage"] == 1.0
    assert scores["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=5 * error + 1e-3)


def test_dropped_modes() -> None:
    generated, label = ring(1000, 3)
    assert score(generated[label < 6])["mode_coverage"] == 6 / 8


def test_samples_between_the_modes_are_of_low_quality_and_cover_none() -> None:
    generated, _ = ring(1000, 4)
    scores = score(torch.cat([generated, torch.zeros(1000, 2)]))
    assert scores["high_quality"] == pytest.approx(0.989 / 2, abs=0.01)
    assert score(torch.zeros(10, 2)) == {"high_quality": 0.0, "mode_coverage": 0.0}


def test_three_deviations_by_hand() -> None:
    """Two modes of deviation 1: samples at 2.9 and 3.1 deviations."""
    x = torch.tensor([[-1.0], [1.0], [99.0], [101.0]])
    mixture = fit_modes(x, torch.tensor([4, 4, 7, 7]))
    assert mixture.centres.flatten().tolist() == [0.0, 100.0]
    assert mixture.deviation == pytest.approx(math.sqrt(2))
    generated = math.sqrt(2) * torch.tensor([[2.9], [-3.1], [-2.9], [3.1]])
    assert mode_scores(generated, mixture) == {"high_quality": 0.5, "mode_coverage": 0.5}


def test_labels_that_never_repeat() -> None:
    with pytest.raises(UsageError, match="5 samples have 5 labels"):
        fit_modes(torch.randn(5, 2), torch.arange(5))
