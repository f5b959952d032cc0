"""Kernel audio distance (Chung et al. 2025, "KAD: No more FAD!")."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.distances import require_rows
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.gaussian_kernel import gaussian
from genbench.metrics.kernel import squared_mmd
from genbench.metrics.resampling import rescaled

SCALE = 100.0
LARGEST = 5_000
"""Reference samples, the first, of whose pairs the median distance is taken: 12.5 million pairs."""


def median_distance(x: Tensor) -> float:
    """The lower median of the Euclidean distances between the pairs of ``(N, D)``, N ≥ 2."""
    return float(torch.pdist(x[:LARGEST].double()).median())


def kernel_audio_distance(reference: Tensor, generated: Tensor) -> Estimate:
    """100 MMD² under k(a, b) = exp(-|a - b|²/2σ²), σ the median distance between reference samples:
    in [-200, 200], about 0 for equal distributions.

    The unbiased U-statistic of ``(N, D)`` and ``(M, D)``, N, M ≥ 2, by ``squared_mmd``; NaN with a
    note where the median is 0.
    """
    sigma = median_distance(reference)
    if sigma == 0:
        return Estimate(float("nan"), note="half of the reference's pairs are equal")
    estimate = squared_mmd(gaussian(sigma), reference, generated, unbiased=True)
    return rescaled(estimate, lambda value: SCALE * value)


class KernelAudioDistance(FeatureMetric):
    """100 times the unbiased squared MMD of a Gaussian kernel as wide as the reference's median
    distance, over any features: of the kernel distances, the one that has no scale of its own.

    The paper's width is that of the reference; its released code (kadtk 1.1.0) takes that of the
    evaluated samples. Of more than 5,000 reference samples the first 5,000 give the width. Needs 2
    samples a side. The interval is the jackknife's over the generated samples, the reference being
    held fixed.
    """

    outputs: Mapping[str, Output] = {"kernel_audio_distance": Output(False, "KAD", "fidelity")}
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        reference, generated = self.all_of("reference"), self.all_of("generated")
        require_rows("kernel_audio_distance", "reference", reference, least=2)
        require_rows("kernel_audio_distance", "generated", generated, least=2)
        return {"kernel_audio_distance": kernel_audio_distance(reference, generated)}
