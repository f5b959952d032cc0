"""Feature likelihood divergence: how likely samples make unseen data (Jiralerspong et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.api.seeding import generator
from genbench.metrics.distances import paired, require_rows, row_slices
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.resampling import mean

# The numbers of the authors' released code.
SIZE = 10_000
"""Gaussians at most, and training samples at most to fit their widths to."""
STEPS = 50
RATE = 0.5
NEAREST = 1e-3
"""Added to the least squared distance, which is 0 for a copy, where the widths begin."""
SHRINK = 0.9
"""Of the distances to the mean of the data, in the Gaussian that is everybody's while fitting."""
NARROWEST, WIDEST = -40.0, 40.0
"""Of the log variances."""

CLOSE = 1e-6
"""Squared distances below this, relative to the squared norm, are taken from differences."""


def feature_likelihood_divergence(
    train: Tensor, reference: Tensor, generated: Tensor, seed: int
) -> Estimate:
    """100 times what the negative log-likelihood of ``reference``, in nats a dimension, is above
    that by real samples.

    The likelihood is that of a mixture of round Gaussians, one at each generated sample, whose
    widths are fitted to ``train``: over a copy of a training sample one grows narrow, and unseen
    data unlikely. By real samples: with Gaussians at one half of ``train``, fitted to the other.
    ``(T, D)``, ``(N, D)`` and ``(M, D)``, T, N ≥ 2, in units of the reference's deviations.

    As the authors' released code, but in float64; at most 10,000 training samples are fitted to, in
    one batch (there: all, in batches of 10,000), in fifty steps (there: fewer, once the likelihood
    hardly changes); a feature that is constant in the reference is left in its unit (there: NaN).
    The interval is over draws of the reference, all else given.
    """
    deviation, centre = torch.std_mean(reference.double(), dim=0)
    deviation = deviation.where(deviation > 0, 1.0)
    train, reference, generated = (
        (x.double() - centre) / deviation for x in (train, reference, generated)
    )
    shuffled = permuted(train, seed, "train")
    centres = permuted(generated, seed, "generated")[:SIZE]
    half = min(len(centres), len(train) // 2)
    by_generated = _negative_log_likelihoods(centres, shuffled[:SIZE], reference)
    by_real = _negative_log_likelihoods(shuffled[:half], shuffled[half:][:SIZE], reference)
    return mean(100 * (by_generated - by_real))


def permuted(x: Tensor, seed: int, side: str) -> Tensor:
    """The rows of ``x`` in an order of the seed's, another for each side."""
    stream = generator(seed, f"feature_likelihood_divergence {side}")
    return x[torch.randperm(len(x), generator=stream).to(x.device)]


def _negative_log_likelihoods(centres: Tensor, fitted_to: Tensor, x: Tensor) -> Tensor:
    """Of each row of ``x``, a dimension, by Gaussians at ``centres``: ``(N,)``."""
    log_variances = fit_log_variances(centres, fitted_to)
    parts = []
    for rows in row_slices(len(x), len(centres)):
        log_p = _log_normal(_squares(x[rows], centres), log_variances, x.shape[1])
        parts.append(log_p.logsumexp(dim=1) - math.log(len(centres)))
    return -torch.cat(parts) / x.shape[1]


def fit_log_variances(centres: Tensor, x: Tensor) -> Tensor:
    """log σ² of a round Gaussian at each of ``(M, D)`` under whose mixture ``(N, D)`` are likely:
    ``(M,)``.

    Fifty steps of Adam on the mean negative log-likelihood a dimension, from the width that is best
    for the nearest row. A Gaussian about the mean of ``x`` takes part, so that no row is without
    one.
    """
    (n, dimension), m = x.shape, len(centres)
    squares = x.new_empty(n, m + 1)  # 800 MB at most
    for rows in row_slices(n, m):
        squares[rows, :m] = _squares(x[rows], centres)
    squares[:, m] = (SHRINK * (x - x.mean(dim=0))).square().sum(dim=1)
    log_share = x.new_full((m + 1,), -math.log(m))
    log_share[m] = 0
    log_variances = x.new_zeros(m + 1)
    log_variances[:m] = ((squares[:, :m].amin(dim=0) + NEAREST) / dimension).log()
    adam = torch.optim.Adam([log_variances], lr=RATE)
    for _ in range(STEPS):
        gradient = torch.zeros_like(log_variances)
        for rows in row_slices(n, m):
            log_p = _log_normal(squares[rows], log_variances, dimension) + log_share
            slope = dimension - squares[rows] / log_variances.exp()
            gradient += (log_p.softmax(dim=1) * slope).sum(dim=0) / 2
        log_variances.grad = gradient / (n * dimension)
        adam.step()
        log_variances[:m].clamp_(NARROWEST, WIDEST)
    return log_variances[:m]


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|², ``(N, M)``, from products, but for the close ones: 0 for a copy, over which a
    Gaussian grows narrower than what rounding leaves of a product."""
    squares = torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist").square_()
    i, j = (squares < CLOSE * x.square().sum(dim=1, keepdim=True)).nonzero(as_tuple=True)
    squares[i, j] = paired(x, y, i, j).square()
    return squares


def _log_normal(squares: Tensor, log_variances: Tensor, dimension: int) -> Tensor:
    spread = dimension * (log_variances + math.log(2 * math.pi))
    return -(squares / log_variances.exp() + spread) / 2


class FeatureLikelihoodDivergence(FeatureMetric):
    """Feature likelihood divergence, which fidelity, diversity and novelty all lower.

    About 0 for unseen real samples, as many as half the training set; far above it where training
    samples are copied. The interval is over draws of the reference. Needs 2 samples of the training
    set and of the reference.
    """

    sides: Set[str] = frozenset({"train", "reference", "generated"})
    outputs: Mapping[str, Output] = {
        "feature_likelihood_divergence": Output(
            False, "feature likelihood divergence", "memorization", floor="reference"
        )
    }
    version = 1

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def compute(self) -> Mapping[str, Estimate]:
        train = self.all_of("train")
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        require_rows("feature_likelihood_divergence", "train", train, least=2)
        require_rows("feature_likelihood_divergence", "reference", reference, least=2)
        estimate = feature_likelihood_divergence(train, reference, generated, self.seed)
        return {"feature_likelihood_divergence": estimate}
