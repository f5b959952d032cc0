"""Energy distance: how much farther two sets lie from each other than each from itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.kernel import squared_mmd


def energy_distance(x: Tensor, y: Tensor) -> Estimate:
    """2 E|x - y| - E|x - x'| - E|y - y'|, in [0, ∞), in the features' unit; 0 for equal sets.

    The V-statistic over ``(N, D)`` and ``(M, D)`` (Székely & Rizzo 2013): the biased MMD² under
    k(a, b) = -|a - b| (Sejdinovic et al. 2013), hence by ``squared_mmd``. For equal distributions
    its mean is E|x - x'| (1/N + 1/M). scipy's is the root of it, on the line.
    """
    centre = x.double().mean(dim=0)  # near which rounding is least
    return squared_mmd(_nearness, x.double() - centre, y.double() - centre, unbiased=False)


def _nearness(x: Tensor, y: Tensor) -> Tensor:
    return -torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist")


class EnergyDistance(FeatureMetric):
    """Energy distance between reference and generated features, in their unit.

    Its bias is upwards, as 1/N: compare at equal counts. The interval is the jackknife's over the
    generated samples, the reference being held fixed.
    """

    outputs: Mapping[str, Output] = {
        "energy_distance": Output(False, "energy distance", "fidelity", minimum=0)
    }
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        return {"energy_distance": energy_distance(reference, generated)}
