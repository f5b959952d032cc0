"""Vendi score: the effective number of different samples (Friedman & Dieng 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.types import Estimate, Features


def vendi_score(x: Tensor) -> float:
    """exp of the entropy of the eigenvalues of K/N, K the cosine similarities of ``(N, D)``.

    In [1, min(N, D)]: 1 where all rows point one way, N where they are orthogonal (Friedman & Dieng
    2023, definition 3.1). XXᵀ and XᵀX share their eigenvalues other than 0, so the smaller one is
    taken. A row of zeros has no direction and adds nothing. Computed in float64.
    """
    x = normalize(x.double(), dim=1)
    gram = x.T @ x if x.shape[1] < len(x) else x @ x.T
    weights = torch.linalg.eigvalsh(gram / len(x)).clamp(min=0)
    return float(torch.special.entr(weights).sum().exp())


class VendiScore(Metric):
    """Vendi score of the generated samples under cosine similarity; it never sees real data."""

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, bool] = {"vendi_score": True}
    version = 1
    full_state_update = False

    features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"generated"``."""
        self.features.append(features["features"])

    def compute(self) -> Mapping[str, Estimate]:
        return {"vendi_score": Estimate(vendi_score(dim_zero_cat(self.features)))}
