"""Gaussian kernel distance against CMMD's formula, closed forms and conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genbench.metrics.gaussian_kernel import GaussianKernelDistance, gaussian_mmd2


def cmmd(x: np.ndarray, y: np.ndarray) -> float:
    """1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)), a row with itself included."""

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        squares = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        return float(np.exp(-squares / (2 * 10.0**2)).mean())

    return 1000 * (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_equals_cmmd_s_formula(scale: float) -> None:
    x = scale * torch.randn(40, 6, dtype=torch.float64)
    y = scale * (1.3 * torch.randn(30, 6, dtype=torch.float64) + 0.2)
    assert gaussian_mmd2(x, y).value == pytest.approx(cmmd(x.numpy(), y.numpy()), rel=1e-8)


def test_gaussians_in_closed_form() -> None:
    """E k(x, y) of N(0, s²I) and N(δ, t²I) is (σ²/v)^(D/2) exp(-|δ|²/2v), v = σ² + s² + t²."""
    dimension, s, t, delta = 3, 5.0, 8.0, 6.0

    def expected_kernel(first: float, second: float, apart: float) -> float:
        v = 100 + first**2 + second**2
        return (100 / v) ** (dimension / 2) * math.exp(-(apart**2) / (2 * v))

    truth = expected_kernel(s, s, 0) + expected_kernel(t, t, 0) - 2 * expected_kernel(s, t, delta)
    stream = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4000, dimension, generator=stream)
    shift = torch.tensor([delta, 0, 0])
    assert gaussian_mmd2(s * x, t * y + shift).value == pytest.approx(1000 * truth, rel=0.05)


def score(reference: Tensor, generated: Tensor) -> float:
    metric = GaussianKernelDistance()
    metric.update({"features": reference}, "reference")
    metric.update({"features": generated}, "generated")
    return metric.compute()["gaussian_kernel_distance"].value


def test_a_set_against_itself_in_any_order_is_0() -> None:
    x = 5 * torch.randn(50, 4)
    assert score(x, x.flip(0)) == pytest.approx(0, abs=1e-9)


def test_nothing_in_common_scores_the_pairs_of_a_row_with_itself() -> None:
    """Where all are far apart k is 1 for a row with itself and 0 else: 1000 (1/N + 1/M)."""
    x = 1e4 * torch.eye(8)
    assert score(x[:5], x[5:]) == pytest.approx(1000 * (1 / 5 + 1 / 3))


def test_one_sample_a_side() -> None:
    x, y = torch.zeros(1, 2), torch.tensor([[6.0, 8.0]])
    assert score(x, y) == pytest.approx(2000 * (1 - math.exp(-0.5)))


def test_collapse_and_noise_are_seen() -> None:
    stream = torch.Generator().manual_seed(1)
    x, y, noise = 4 * torch.randn(3, 300, 4, generator=stream)
    values = [score(x, y + level * noise) for level in (0, 0.5, 1, 2)]
    assert values == sorted(values)
    assert score(x, y[:1].repeat(300, 1)) > 10 * values[0]


def test_interval_holds_in_about_95_of_100_draws() -> None:
    """About the mean over draws, since the V-statistic of few samples is biased."""
    stream = torch.Generator().manual_seed(2)
    reference = 4 * torch.randn(60, 3, generator=stream)
    draws = [gaussian_mmd2(reference, 6 * torch.randn(60, 3, generator=stream)) for _ in range(400)]
    truth = np.mean([draw.value for draw in draws])
    held = [(draw.low or 0) <= truth <= (draw.high or 0) for draw in draws]
    assert 0.9 <= np.mean(held) <= 0.99
