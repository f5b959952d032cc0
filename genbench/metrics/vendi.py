"""Vendi score: the effective number of different samples (Friedman & Dieng 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.metrics.distances import directions
from genbench.metrics.resampling import mean, rescaled


def vendi_score(x: Tensor) -> Estimate:
    """exp of the entropy H of the eigenvalues of K/N, K the cosine similarities of ``(N, D)``.

    In [1, min(N, D)]: 1 where all rows point one way, N where they are orthogonal (Friedman & Dieng
    2023, definition 3.1). XXᵀ and XᵀX share their eigenvalues other than 0, so the smaller one is
    taken. A row of zeros has no direction and adds nothing; any other has one, however short or
    long it is. Computed in float64.

    The interval is that of the infinitesimal jackknife: with G = XᵀX/N, H = -tr(G log G) moves with
    the weight of a row x as -xᵀ(log G)x - |x|² does, whose spread over the rows is known. There is
    none for N ≤ D: then the score follows N, not the distribution.
    """
    x = directions(x)
    if len(x) <= x.shape[1]:
        weights = torch.linalg.eigvalsh(x @ x.T / len(x)).clamp(min=0)
        return Estimate(float(torch.special.entr(weights).sum().exp()))
    weights, axes = torch.linalg.eigh(x.T @ x / len(x))
    entropy = float(torch.special.entr(weights.clamp(min=0)).sum())
    filled = weights > torch.finfo(x.dtype).eps
    along = (x @ axes[:, filled]).square()
    influence = mean(along @ (-weights[filled].log() - 1))
    return rescaled(influence, lambda value: math.exp(entropy + (value - influence.value)))


class VendiScore(Metric):
    """Vendi score of the generated samples under cosine similarity; it never sees real data.

    The interval is over draws of the generated samples, about the value at their count.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, Output] = {
        "vendi_score": Output(True, "Vendi score", "diversity", decimals=2)
    }
    version = 2
    full_state_update = False

    features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"generated"``."""
        self.features.append(features["features"])

    def compute(self) -> Mapping[str, Estimate]:
        return {"vendi_score": vendi_score(dim_zero_cat(self.features))}
