"""Fréchet distance between two Gaussians fitted to features (Heusel et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.errors import UsageError
from genbench.types import Estimate, Features


def frechet_distance(mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½), in [0, ∞).

    The squared distance, as FID is (Dowson & Landau 1982; Heusel et al. 2017, eq. 6). With Σ = LLᵀ
    the last trace is the sum of the singular values of L₁ᵀL₂: no square root of a matrix and no
    eigenvalue of a non-symmetric one, so that covariances of any rank will do and a singular value
    near 0 carries the error ε, not √ε.

    ``mu``: ``(D,)``; ``sigma``: ``(D, D)``, symmetric positive semi-definite. Computed in float64.
    Raises ``UsageError`` where one of them is not finite.
    """
    if not all(bool(moment.isfinite().all()) for moment in (mu1, sigma1, mu2, sigma2)):
        raise UsageError("frechet_distance needs finite features; some are NaN or infinite")
    factor1, factor2 = _factor(sigma1.double()), _factor(sigma2.double())
    cross = torch.linalg.svdvals(factor1.T @ factor2).sum()
    traces = sigma1.double().trace() + sigma2.double().trace()
    shift = (mu1.double() - mu2.double()).square().sum()
    # Not ``max(0.0, …)``, which would make 0 of a NaN.
    return float((shift + traces - 2 * cross).clamp(min=0))


def _factor(sigma: Tensor) -> Tensor:
    """L ``(D, rank)`` with LLᵀ = Σ, without the directions that rounding cannot tell from empty."""
    values, vectors = torch.linalg.eigh(sigma)
    noise = len(sigma) * torch.finfo(values.dtype).eps * values[-1].clamp(min=0)
    kept = values > noise
    factor: Tensor = vectors[:, kept] * values[kept].sqrt()
    return factor


def merge_moments(counts: Tensor, means: Tensor, scatters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of a whole from those of its K parts (Chan, Golub & LeVeque 1983).

    ``counts`` ``(K,)``, ``means`` ``(K, D)``, ``scatters`` ``(K, D, D)`` about each part's own
    mean, so that a mean far from 0 cancels nothing. Returns the same with K = 1.
    """
    count = counts.sum()
    mean = counts @ means / count
    offset = means - mean
    scatter = scatters.sum(dim=0) + (counts[:, None] * offset).T @ offset
    return count[None], mean[None], scatter[None]


class FrechetDistance(Metric):
    """Fréchet distance between the Gaussians of reference and generated features (unbiased Σ).

    It is the FID only over the published Inception network. Its bias is upwards, about
    proportional to 1/N (Chong & Forsyth 2020): compare at equal counts. Needs 2 samples a side.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, bool] = {"frechet_distance": False}
    version = 1
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for side in sorted(self.sides):
            for moment in ("counts", "means", "scatters"):
                # One entry a process, merged when computed: moments about different means cannot
                # be synced by a sum.
                self.add_state(f"{side}_{moment}", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"reference"`` or ``"generated"``."""
        x = features["features"].double()
        mean = x.mean(dim=0)
        centred = x - mean
        batch = (x.new_tensor([len(x)]), mean[None], (centred.T @ centred)[None])
        states = [getattr(self, f"{side}_{moment}") for moment in ("counts", "means", "scatters")]
        merged = merge_moments(
            *(dim_zero_cat([*state, part]) for state, part in zip(states, batch, strict=True))
        )
        for state, value in zip(states, merged, strict=True):
            state[:] = [value]

    def compute(self) -> Mapping[str, Estimate]:
        mu1, sigma1 = self._gaussian("reference")
        mu2, sigma2 = self._gaussian("generated")
        return {"frechet_distance": Estimate(frechet_distance(mu1, sigma1, mu2, sigma2))}

    def _gaussian(self, side: str) -> tuple[Tensor, Tensor]:
        count, mean, scatter = merge_moments(
            *(
                dim_zero_cat(getattr(self, f"{side}_{moment}"))
                for moment in ("counts", "means", "scatters")
            )
        )
        if count < 2:
            raise UsageError(f"frechet_distance needs at least 2 {side} samples; there is 1")
        return mean[0], scatter[0] / (count - 1)
