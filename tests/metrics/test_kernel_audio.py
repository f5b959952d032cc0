"""Kernel audio distance against kadtk's formula, and conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genbench.metrics.kernel_audio import KernelAudioDistance, kernel_audio_distance


def kadtk(x: np.ndarray, y: np.ndarray) -> float:
    """``calc_kernel_audio_distance(x, y)`` of kadtk 1.1.0, whose width is the median of y's
    distances, written out in NumPy."""
    apart = [np.linalg.norm(a - b) for i, a in enumerate(y) for b in y[i + 1 :]]
    sigma = np.sort(apart)[(len(apart) - 1) // 2]

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=2) / (2 * sigma**2 + 1e-8))

    m, n = len(x), len(y)
    of_x = (kernel(x, x).sum() - m) / (m * (m - 1))
    of_y = (kernel(y, y).sum() - n) / (n * (n - 1))
    return float(100 * (of_x + of_y - 2 * kernel(x, y).mean()))


@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_equals_kadtk_s_formula_with_the_sides_exchanged(scale: float) -> None:
    reference = scale * torch.randn(40, 6, dtype=torch.float64)
    generated = scale * (1.3 * torch.randn(30, 6, dtype=torch.float64) + 0.2)
    expected = kadtk(generated.numpy(), reference.numpy())
    found = kernel_audio_distance(reference, generated)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.low is not None
    assert found.low < found.value


def test_it_has_no_scale_of_its_own() -> None:
    x, y = torch.randn(60, 4), torch.randn(50, 4) + 0.5
    assert kernel_audio_distance(x, y).value == pytest.approx(
        kernel_audio_distance(1000 * x, 1000 * y).value, rel=1e-6
    )


def test_equal_distributions_are_about_0_and_far_ones_large() -> None:
    x, y = torch.randn(2, 400, 5)
    assert abs(kernel_audio_distance(x, y).value) < 0.5
    # 1 - 0 within y, which lies close together; all of k across vanishes.
    assert kernel_audio_distance(x, 0.001 * y + 100).value > 100


def test_of_a_reference_of_copies_there_is_none() -> None:
    metric = KernelAudioDistance()
    metric.update({"features": torch.ones(5, 3)}, "reference")
    metric.update({"features": torch.randn(5, 3)}, "generated")
    found = metric.compute()["kernel_audio_distance"]
    assert math.isnan(found.value)
    assert found.note == "half of the reference's pairs are equal"
