"""Modes: which of the reference's modes a generator reaches, and how closely (VEEGAN's scores)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.errors import UsageError
from genbench.metrics.distances import euclidean, row_slices
from genbench.types import Estimate, Features

WITHIN = 3.0
"""Standard deviations from a centre within which a sample is of high quality."""


class Mixture(NamedTuple):
    """Modes of equal, round spread."""

    centres: Tensor
    """``(K, D)`` float64, in the order of the labels."""
    deviation: float
    """Standard deviation of one coordinate about its centre."""


def fit_modes(x: Tensor, labels: Tensor) -> Mixture:
    """A mode for each label: its mean; and one deviation, pooled over modes and coordinates.

    ``x``: ``(N, D)``; ``labels``: ``(N,)`` integers. Raises ``UsageError`` where no mode has a
    second sample to estimate the deviation from.
    """
    _, mode = torch.unique(labels, return_inverse=True)
    modes = int(mode.max()) + 1
    spare = len(x) - modes
    if spare == 0:
        raise UsageError(f"modes needs labels that repeat; {len(x)} samples have {modes} labels")
    x = x.double()
    sums = x.new_zeros(modes, x.shape[1]).index_add_(0, mode, x)
    centres = sums / mode.bincount()[:, None]
    variance = (x - centres[mode]).square().sum() / (spare * x.shape[1])
    return Mixture(centres, float(variance.sqrt()))


def mode_scores(generated: Tensor, mixture: Mixture) -> dict[str, float]:
    """``high_quality`` and ``mode_coverage``, both in [0, 1], of ``(M, D)`` samples.

    A sample is of high quality within 3 standard deviations, in Euclidean distance, of the nearest
    centre; a mode is covered when it is the nearest of one such sample (Srivastava et al. 2017).
    """
    covered = torch.zeros(len(mixture.centres), dtype=torch.bool, device=generated.device)
    good = 0
    for rows in row_slices(len(generated), len(mixture.centres)):
        distance, mode = euclidean(generated[rows], mixture.centres).min(dim=1)
        close = distance <= WITHIN * mixture.deviation
        good += int(close.sum())
        covered[mode[close]] = True
    return {
        "high_quality": good / len(generated),
        "mode_coverage": float(covered.double().mean()),
    }


class Modes(Metric):
    """Share of modes covered and of high-quality samples, where the reference is labelled by mode.

    ``needs`` is checked on the reference: one without labels leaves this metric out, while
    generated samples need none. Of a perfect sampler of round Gaussians in the plane,
    1 - exp(-9/2) = 98.9 % are of high quality.
    """

    needs: Set[str] = frozenset({"features", "labels"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, bool] = {"mode_coverage": True, "high_quality": True}
    version = 1
    full_state_update = False

    reference_features: list[Tensor]
    reference_labels: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("reference_features", [], dist_reduce_fx="cat")
        self.add_state("reference_labels", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, and of the reference ``features["labels"]``."""
        getattr(self, f"{side}_features").append(features["features"])
        if side == "reference":
            self.reference_labels.append(features["labels"])

    def compute(self) -> Mapping[str, Estimate]:
        reference = dim_zero_cat(self.reference_features)
        mixture = fit_modes(reference, dim_zero_cat(self.reference_labels))
        scores = mode_scores(dim_zero_cat(self.generated_features), mixture)
        return {name: Estimate(value) for name, value in scores.items()}
