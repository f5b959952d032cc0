"""Gaussian kernel distance: the squared MMD of CMMD (Jayasumana et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.kernel import Kernel, squared_mmd
from genbench.metrics.resampling import rescaled

SIGMA = 10.0
SCALE = 1000.0
"""CMMD's, for numbers that are read more easily."""


def gaussian_mmd2(x: Tensor, y: Tensor) -> Estimate:
    """1000 MMD² under k(a, b) = exp(-|a - b|²/2σ²), σ = 10: in [0, 2000].

    The V-statistic over ``(N, D)`` and ``(M, D)``, as in CMMD's published code, by ``squared_mmd``.
    """
    estimate = squared_mmd(gaussian(SIGMA), x, y, unbiased=False)
    return rescaled(estimate, lambda value: SCALE * value)


def gaussian(sigma: float) -> Kernel:
    """k(a, b) = exp(-|a - b|²/2σ²)."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        distances = torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist")
        return distances.square_().mul_(-1 / (2 * sigma**2)).exp_()

    return kernel


class GaussianKernelDistance(FeatureMetric):
    """1000 times the squared MMD of CMMD's Gaussian kernel, whose width of 10 is not fitted.

    It is the CMMD only over CLIP's ViT-L/14 at 336 pixels, with embeddings of norm 1, in whose unit
    the width is chosen: among features that lie much farther apart than 10 it sees copies alone,
    and among closer ones, as those are, means before all else. Its bias is upwards and at most
    1000 (1/N + 1/M): compare at equal counts. The interval is the jackknife's over the generated
    samples, the reference being held fixed.
    """

    outputs: Mapping[str, Output] = {
        "gaussian_kernel_distance": Output(False, "Gaussian kernel distance", "fidelity", minimum=0)
    }
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        return {"gaussian_kernel_distance": gaussian_mmd2(reference, generated)}
