"""Fréchet distance between two Gaussians fitted to features (Heusel et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import eigvalsh, svdvals
from scipy.linalg.lapack import dpotrf, dpstrf, dsygst
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.api.errors import UsageError
from genbench.metrics import resampling
from genbench.metrics.distances import row_slices

Covariance: TypeAlias = npt.NDArray[np.float64]

MOMENTS = ("counts", "means", "scatters")

ACCURACY = 1e-11
"""Of the traces: if the fast method loses more, the slow one is used."""


def frechet_distance(mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½), in [0, ∞).

    The squared distance, as FID is (Dowson & Landau 1982; Heusel et al. 2017, eq. 6). Covariances
    may have any rank: a direction whose variance is within rounding of 0 counts as empty.

    ``mu``: ``(D,)``; ``sigma``: ``(D, D)``, symmetric positive semi-definite. Computed in float64
    on the CPU. Raises ``UsageError`` if one of them is not finite.
    """
    if not all(bool(moment.isfinite().all()) for moment in (mu1, sigma1, mu2, sigma2)):
        raise UsageError("frechet_distance needs finite features; some are NaN or infinite")
    cross = trace_of_root(sigma1.double().cpu().numpy(), sigma2.double().cpu().numpy())
    traces = sigma1.double().trace() + sigma2.double().trace()
    shift = (mu1.double() - mu2.double()).square().sum()
    # Not ``max(0.0, …)``, which would make 0 of a NaN.
    return float((shift + traces - 2 * cross).clamp(min=0))


def trace_of_root(sigma1: Covariance, sigma2: Covariance) -> float:
    """tr (Σ₁Σ₂)^½ of two symmetric positive semi-definite ``(D, D)`` matrices.

    With Σ₁ = LLᵀ, the eigenvalues λ of Σ₁Σ₂ are those of the symmetric LᵀΣ₂L, and the trace is
    Σ √λ: two Cholesky factors and one symmetric problem without vectors. Near 0 the root makes √ε
    of an error ε, so the error is measured: Π λ must be det Σ₁ det Σ₂, which the factors give. An
    error δ, about the same for every λ, shows there as δ/λ_min, and in the trace as at most
    δ Σ λ^-½. Where that is above ``ACCURACY``, or a covariance has no full rank, the trace is taken
    as the sum of the singular values of L₁ᵀL₂, with factors cut off at their rank: each of these
    has an error of ε times the largest, but they take several times as long.
    """
    trace1, trace2 = float(np.trace(sigma1)), float(np.trace(sigma2))
    if min(trace1, trace2) <= 0:
        return 0.0
    # From the largest variance to the smallest, LᵀΣ₂L falls from its upper left corner, where
    # LAPACK begins to reduce it: then what is small is not lost beside what is large. A transpose
    # is the same matrix, in the order of memory that LAPACK wants.
    falling = np.argsort(-sigma1.diagonal())
    order = np.ix_(falling, falling)
    root = root_of_full_rank(sigma1[order].T / trace1, sigma2[order].T / trace2)
    if root is not None:
        return float(root * trace1**0.5 * trace2**0.5)
    return float(svdvals(_factor(sigma1).T @ _factor(sigma2)).sum())


def root_of_full_rank(sigma1: Covariance, sigma2: Covariance) -> float | None:
    """The fast way, for traces of 1; ``None`` if it is not accurate. Overwrites both."""
    empty1, empty2 = _empty(sigma1), _empty(sigma2)
    factor1, failed1 = dpotrf(sigma1, lower=1, overwrite_a=1)
    factor2, failed2 = dpotrf(sigma2, lower=1)
    pivots1, pivots2 = factor1.diagonal() ** 2, factor2.diagonal() ** 2
    if failed1 or failed2 or pivots1.min() <= empty1 or pivots2.min() <= empty2:
        return None
    product, _ = dsygst(sigma2, factor1, itype=2, lower=1, overwrite_a=1)
    values = eigvalsh(product, overwrite_a=True, check_finite=False)
    if values[0] <= 0:
        return None
    error = abs(np.log(values / (pivots1 * pivots2)).sum()) * values[0]
    return float(np.sqrt(values).sum()) if error * (values**-0.5).sum() <= ACCURACY else None


def _empty(sigma: Covariance) -> float:
    """The variance below which rounding hides any other, as LAPACK's ``dpstrf`` has it."""
    return float(len(sigma) * np.finfo(sigma.dtype).eps * sigma.diagonal().max())


def _factor(sigma: Covariance) -> Covariance:
    """L ``(D, rank)`` with LLᵀ = Σ, without the directions that are empty but for rounding."""
    packed, pivots, rank, _ = dpstrf(sigma, tol=_empty(sigma), lower=1)
    factor = np.empty((len(sigma), rank))
    factor[pivots - 1] = np.tril(packed)[:, :rank]
    return factor


def merge_moments(counts: Tensor, means: Tensor, scatters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of a whole from those of its K parts (Chan, Golub & LeVeque 1983).

    ``counts`` ``(K,)``, ``means`` ``(K, D)``, ``scatters`` ``(K, D, D)`` about each part's own
    mean, so that a mean far from 0 cancels nothing. Returns the same with K = 1.
    """
    if len(counts) == 1:
        return counts, means, scatters
    count = counts.sum()
    mean = counts @ means / count
    offset = means - mean
    scatter = scatters.sum(dim=0) + (counts[:, None] * offset).T @ offset
    return count[None], mean[None], scatter[None]


def add_rows(
    count: Tensor, mean: Tensor, scatter: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments ``(1,)``, ``(1, D)``, ``(1, D, D)`` of a set after ``x``, ``(B, D)``, is added.

    ``merge_moments`` with the rows' own, whose scatter is added without being held.
    """
    total = count + len(x)
    x_mean = x.mean(dim=0, keepdim=True)
    offset = x_mean - mean
    rows = torch.cat([x - x_mean, (count * len(x) / total).sqrt()[:, None] * offset])
    return total, mean + offset * len(x) / total, torch.addmm(scatter[0], rows.T, rows)[None]


def moments_of(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count ``(1,)``, mean ``(1, D)`` and scatter ``(1, D, D)`` of ``(N, D)``, float64, in bounded
    memory."""
    size = x.shape[1]
    zeros = x.new_zeros(1, size, dtype=torch.float64)
    moments = zeros[:, 0].clone(), zeros, zeros.new_zeros(1, size, size)
    for rows in row_slices(len(x), size):
        moments = add_rows(*moments, x[rows].double())
    return moments


def gaussian(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(D,)`` and unbiased covariance ``(D, D)`` of ``(N, D)``, float64, N ≥ 2."""
    count, mean, scatter = moments_of(x)
    return mean[0], scatter[0] / (count - 1)


def without(
    whole: tuple[Tensor, Tensor, Tensor], part: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The moments of what is left of a ``whole`` when a ``part`` is taken out."""
    (n, mean, scatter), (m, part_mean, part_scatter) = whole, part
    left = n - m
    left_mean = (n * mean - m * part_mean) / left
    offset = part_mean - left_mean
    between = (m * left / n) * (offset.T @ offset)
    return left, left_mean, scatter - part_scatter - between


class FrechetDistance(Metric):
    """Fréchet distance between the Gaussians of reference and generated features (unbiased Σ).

    It is the FID only over the published Inception network. Its bias is upwards, about
    proportional to 1/N (Chong & Forsyth 2020): compare at equal counts. Needs 2 samples a side.

    The interval is the jackknife's over groups of the generated samples, about the biased value;
    there is none, and a note, if these are too few for a covariance of full rank.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, Output] = {
        "frechet_distance": Output(
            False, "Fréchet distance", "fidelity", minimum=0, names={"inception": "FID"}
        )
    }
    version = 1
    full_state_update = False

    generated_features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for moment in MOMENTS:
            # One entry a process, merged when computed: moments about different means cannot be
            # synced by a sum.
            self.add_state(f"reference_{moment}", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"reference"`` or ``"generated"``."""
        x = features["features"]
        if side == "generated":
            self.generated_features.append(x)
            return
        states = [getattr(self, f"reference_{moment}") for moment in MOMENTS]
        before = self._reference() if states[0] else moments_of(x[:0])
        for state, value in zip(states, add_rows(*before, x.double()), strict=True):
            state[:] = [value]

    def accept_moments(self, mean: Tensor, covariance: Tensor, count: int | None) -> None:
        """Take mean ``(D,)`` and covariance ``(D, D)``, as they are published, in place of the
        reference's features. ``count``: of the samples behind them, where it is known."""
        # For an unknown count, as many as Σ needs.
        known = len(mean) + 1 if count is None else count
        for moment, value in zip(
            MOMENTS,
            (mean.new_full((1,), known), mean[None], covariance[None] * (known - 1)),
            strict=True,
        ):
            getattr(self, f"reference_{moment}")[:] = [value.double().to(self.device)]

    def compute(self) -> Mapping[str, Estimate]:
        (name,) = self.outputs
        x = dim_zero_cat(self.generated_features)
        mu, sigma = _gaussian(name, "reference", *self._reference())
        if len(mu) != x.shape[1]:
            raise UsageError(
                f"{name}: the reference has {len(mu)} features a sample, the generated "
                f"samples have {x.shape[1]}"
            )

        def distance(moments: tuple[Tensor, Tensor, Tensor]) -> float:
            return frechet_distance(mu, sigma, *_gaussian(name, "generated", *moments))

        whole = moments_of(x)
        value = distance(whole)
        least = resampling.enough(x.shape[1] + 1)
        few = min(len(x), int(self._reference()[0]))
        if few <= x.shape[1]:
            note = (
                f"{few} samples fit no covariance of {x.shape[1]} features: look at "
                "kernel_distance, which needs none"
            )
            return {name: Estimate(value, note=note)}
        if len(x) < least:
            return {name: Estimate(value)}
        group = resampling.groups(len(x)).to(x.device)
        estimate = resampling.jackknife(
            value,
            [
                distance(without(whole, moments_of(x[group == number])))
                for number in range(resampling.GROUPS)
            ],
            least=0.0,
        )
        return {name: estimate}

    def _reference(self) -> tuple[Tensor, Tensor, Tensor]:
        return merge_moments(
            *(dim_zero_cat(getattr(self, f"reference_{moment}")) for moment in MOMENTS)
        )


def _gaussian(
    name: str, side: str, count: Tensor, mean: Tensor, scatter: Tensor
) -> tuple[Tensor, Tensor]:
    if count < 2:
        raise UsageError(f"{name} needs at least 2 {side} samples; there is 1")
    return mean[0], scatter[0] / (count - 1)
