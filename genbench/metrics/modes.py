"""Modes: which of the reference's modes a generator reaches, how closely, and how evenly."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

import torch
from scipy.stats import chi2
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.api.errors import UsageError
from genbench.metrics.distances import euclidean, row_slices
from genbench.metrics.resampling import over_groups, share

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

    ``x``: ``(N, D)``; ``labels``: ``(N,)`` integers. Raises ``UsageError`` if no mode has a
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


def nearest_centres(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The Euclidean distance of each row of ``(N, D)`` to the nearest of ``centres``, ``(K, D)``,
    and which one that is: ``(N,)`` each."""
    parts = [euclidean(x[rows], centres).min(dim=1) for rows in row_slices(len(x), len(centres))]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def mode_scores(generated: Tensor, mixture: Mixture) -> dict[str, Estimate]:
    """``high_quality`` and ``mode_coverage``, both in [0, 1], of ``(M, D)`` samples.

    A sample is of high quality within 3 standard deviations, in Euclidean distance, of the nearest
    centre; a mode is covered when it is the nearest of one such sample (Srivastava et al. 2017).
    ``mode_coverage`` has no interval: no sample tells how likely an unseen mode is. Three
    deviations are meant for few dimensions: a note says where most samples of a mode lie beyond.
    """
    distance, mode = nearest_centres(generated, mixture.centres)
    close = distance <= WITHIN * mixture.deviation
    covered = len(torch.unique(mode[close])) / len(mixture.centres)
    quality, coverage = share(close), Estimate(covered)
    dimension = generated.shape[1]
    within = float(chi2.cdf(WITHIN**2, dimension))
    if within < 0.5:
        quality.note = coverage.note = (
            f"in {dimension} dimensions {100 * within:.0f} % of a round mode's own samples lie "
            f"within {WITHIN:g} deviations of its centre"
        )
    return {"high_quality": quality, "mode_coverage": coverage}


def mode_kl(generated: Tensor, reference: Tensor, centres: Tensor) -> Estimate:
    """KL(p ‖ q) = Σ p log(p/q) in nats, in [0, ∞): p, q the shares of generated and of reference
    samples whose nearest centre each mode is.

    In this direction, as PacGAN's code computes it (Lin et al. 2018), a mode that no generated
    sample reaches adds 0, and what would have gone there weighs on the others; one that no
    reference sample is nearest to is no mode here. Every sample counts, near its centre or not. For
    equal distributions its mean is about (K - 1)(1/M + 1/N)/2. The interval is the jackknife's over
    groups of generated samples, given q.
    """
    known = nearest_centres(reference, centres)[1].bincount(minlength=len(centres))
    reached = known > 0
    q = known[reached].double() / len(reference)

    def divergence(mode: Tensor) -> float:
        p = mode.bincount(minlength=len(q)).double() / len(mode)
        return float(torch.special.xlogy(p, p / q).sum().clamp(min=0))

    return over_groups(divergence, nearest_centres(generated, centres[reached])[1], least=0.0)


class Modes(Metric):
    """Share of modes covered, share of high-quality samples, and how evenly they are spread over
    the modes, where the reference is labelled by mode.

    ``needs`` is checked on the reference: one without labels leaves this metric out, while
    generated samples need none. Of a perfect sampler of round Gaussians in the plane,
    1 - exp(-9/2) = 98.9 % are of high quality. The intervals are over draws of the generated
    samples.
    """

    needs: Set[str] = frozenset({"features", "labels"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, Output] = {
        "mode_coverage": Output(True, "mode coverage", "diversity", decimals=3),
        "high_quality": Output(True, "high quality", "fidelity", decimals=3),
        "mode_kl": Output(False, "KL over modes", "diversity", minimum=0),
    }
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
        generated = dim_zero_cat(self.generated_features)
        mixture = fit_modes(reference, dim_zero_cat(self.reference_labels))
        divergence = mode_kl(generated, reference, mixture.centres)
        return mode_scores(generated, mixture) | {"mode_kl": divergence}
