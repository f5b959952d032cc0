"""Chamfer distance (Fan, Su & Guibas 2017)."""

from __future__ import annotations

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from genbench import Estimate, Output


class ChamferDistance(torchmetrics.Metric):
    """Mean distance to the nearest sample of the other side, summed over both sides, ≥ 0."""

    needs = frozenset({"features"})
    sides = frozenset({"reference", "generated"})
    outputs = {"chamfer_distance": Output(False, "Chamfer distance", "fidelity", minimum=0)}  # noqa: RUF012
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
        distances = torch.cdist(x, y)
        value = sum(float(distances.amin(dim=side).mean()) for side in (0, 1))
        return {"chamfer_distance": Estimate(value)}
