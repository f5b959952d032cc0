"""Energy distance: how much farther two sets lie from each other than each from itself."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.metrics.kernel import squared_mmd
from genbench.types import Estimate, Features


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


class EnergyDistance(Metric):
    """Energy distance between reference and generated features, in their unit.

    Its bias is upwards, as 1/N: compare at equal counts. The interval is the jackknife's over the
    generated samples, the reference being held fixed.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, bool] = {"energy_distance": False}
    version = 1
    full_state_update = False

    reference_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("reference_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"reference"`` or ``"generated"``."""
        getattr(self, f"{side}_features").append(features["features"])

    def compute(self) -> Mapping[str, Estimate]:
        reference = dim_zero_cat(self.reference_features)
        generated = dim_zero_cat(self.generated_features)
        return {"energy_distance": energy_distance(reference, generated)}
