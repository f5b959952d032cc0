"""Energy distance (Székely & Rizzo 2013)."""

from __future__ import annotations

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from genbench import Estimate


class EnergyDistance(torchmetrics.Metric):
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, ≥ 0, between reference and generated features."""

    needs = frozenset({"features"})
    sides = frozenset({"reference", "generated"})
    outputs = {"energy_distance": False}  # noqa: RUF012
    version = 1
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("reference", [], dist_reduce_fx="cat")
        self.add_state("generated", [], dist_reduce_fx="cat")

    def update(self, features: dict[str, Tensor], side: str) -> None:
        getattr(self, side).append(features["features"].double())

    def compute(self) -> dict[str, Estimate]:
        x, y = dim_zero_cat(self.reference), dim_zero_cat(self.generated)
        between, within_x, within_y = (
            float(torch.cdist(a, b).mean()) for a, b in ((x, y), (x, x), (y, y))
        )
        return {"energy_distance": Estimate(2 * between - within_x - within_y)}
