"""Fréchet distance at infinitely many samples, extrapolated (Chong & Forsyth 2020)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.api.seeding import generator
from genbench.metrics.distances import require_rows
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.frechet import frechet_distance, gaussian

POINTS = 15
SMALLEST = 5000
LEAST = 20


def subset_sizes(count: int) -> list[int]:
    """The 15 sizes, evenly spaced from min(5000, ``count`` // 10) to ``count``, rounded down.

    Chong & Forsyth's own, 5,000 to 50,000, at ``count`` = 50,000; below it as in dgm-eval.
    """
    return [int(size) for size in np.linspace(min(SMALLEST, count // 10), count, POINTS)]


def frechet_distance_infinity(reference: Tensor, generated: Tensor, seed: int) -> float:
    """Where the line through the points (1/n, distance of n samples) meets 1/n = 0.

    ``reference``: ``(N, D)``, taken whole; ``generated``: ``(M, D)``, M ≥ 20, of which each of
    ``subset_sizes`` gives one random subset. Least squares, unweighted. About 0, also below, for
    equal distributions and a reference without error.
    """
    gaussian_of_reference = gaussian(reference)
    sizes = subset_sizes(len(generated))
    distances = []
    for index, size in enumerate(sizes):
        stream = generator(seed, "frechet_distance_infinity", index)
        chosen = torch.randperm(len(generated), generator=stream)[:size].to(generated.device)
        distances.append(frechet_distance(*gaussian_of_reference, *gaussian(generated[chosen])))
    _, intercept = np.polyfit(1 / np.array(sizes), distances, 1)
    return float(intercept)


class FrechetDistanceInfinity(FeatureMetric):
    """Fréchet distance without the bias of a finite number of generated samples.

    It is the FID∞ only over the published Inception network. The reference's own bias stays. The
    bias is proportional to 1/n for n well above the number of features alone: a note says where the
    smallest subset is not even above it. The subsets overlap, so that neither the line's error nor
    a jackknife within bounded time tells the interval: there is none. Needs 2 reference and 20
    generated samples.
    """

    outputs: Mapping[str, Output] = {
        "frechet_distance_infinity": Output(
            False, "Fréchet distance, N → ∞", "fidelity", names={"inception": "FID∞"}
        )
    }
    version = 1

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def compute(self) -> Mapping[str, Estimate]:
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        require_rows("frechet_distance_infinity", "reference", reference, least=2)
        require_rows("frechet_distance_infinity", "generated", generated, least=LEAST)
        value = frechet_distance_infinity(reference, generated, self.seed)
        smallest, dimension = subset_sizes(len(generated))[0], generated.shape[1]
        note = None
        if smallest <= dimension:
            note = f"subsets of {smallest} samples fit no covariance of {dimension} features"
        return {"frechet_distance_infinity": Estimate(value, note=note)}
