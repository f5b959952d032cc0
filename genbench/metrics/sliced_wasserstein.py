"""Sliced Wasserstein distance: optimal transport along random directions (Bonneel et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genbench.api import Estimate, Output
from genbench.api.seeding import generator
from genbench.metrics.distances import row_slices
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.resampling import over_groups


def sliced_wasserstein(x: Tensor, y: Tensor, directions: Tensor) -> float:
    """(E_θ W₂²(θ·x, θ·y))^½, in [0, ∞), in the features' unit; θ: the rows of ``directions``.

    ``x``: ``(N, D)``; ``y``: ``(M, D)``; ``directions``: ``(P, D)`` of norm 1 (Bonneel et al.
    2015). In one dimension W₂² = ∫₀¹ (F⁻¹(u) - G⁻¹(u))² du over the two quantile functions,
    which are steps: exact for N ≠ M also. Computed in float64.
    """
    along_x, along_y = sorted_along(x, directions), sorted_along(y, directions)
    return _distance(*in_steps(along_x, len(y)), along_y)


def sorted_along(x: Tensor, directions: Tensor) -> Tensor:
    """The quantiles of ``(N, D)`` along each direction: ``(P, N)`` float64, ascending."""
    x, directions = x.double(), directions.double()
    along = x.new_empty(len(directions), len(x))
    for rows in row_slices(len(directions), len(x)):
        along[rows] = (directions[rows] @ x.T).sort(dim=1).values
    return along


def in_steps(along_x: Tensor, count: int) -> tuple[Tensor, float]:
    """The quantile functions of ``(P, N)`` over the ``count`` equal steps of another's: their mean
    on each step, ``(P, count)``, and E_θ ∫ of what is left of them squared, which no constant on
    each step can be nearer than.

    What W₂² asks of x for every y of ``count`` rows.
    """
    n, device = along_x.shape[1], along_x.device
    # Quantile levels in units of 1/(N count): whole numbers, so that common steps meet exactly.
    ends = (count * torch.arange(1, n + 1), n * torch.arange(1, count + 1))
    levels = torch.unique(torch.cat(ends))
    shares = (levels.diff(prepend=levels.new_zeros(1)).double() / n).to(device)  # of a step
    of_x, step = ((levels - 1) // count).to(device), ((levels - 1) // n).to(device)
    means = along_x.new_zeros(len(along_x), count)
    left = 0.0
    for rows in row_slices(len(along_x), len(levels)):
        values = along_x[rows][:, of_x]
        means[rows] = means[rows].index_add(1, step, values * shares)
        left += float(((values - means[rows][:, step]).square() @ shares).sum())
    return means, left / (count * len(along_x))


def _distance(means: Tensor, left: float, along_y: Tensor) -> float:
    return float((left + (means - along_y).square().mean()) ** 0.5)


def random_directions(count: int, dimension: int, seed: int) -> Tensor:
    """``count`` directions uniform on the sphere: ``(count, dimension)`` float64 of norm 1."""
    stream = generator(seed, "sliced_wasserstein")
    return normalize(torch.randn(count, dimension, generator=stream, dtype=torch.float64), dim=1)


class SlicedWasserstein(FeatureMetric):
    """Sliced 2-Wasserstein distance between reference and generated features, in their unit.

    Its bias is upwards: compare at equal counts. The interval is the jackknife's over groups of the
    generated samples, the reference and the directions being held fixed.
    """

    outputs: Mapping[str, Output] = {
        "sliced_wasserstein": Output(False, "sliced Wasserstein", "fidelity", minimum=0)
    }
    version = 1

    def __init__(self, *, projections: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.projections = projections
        self.seed = seed

    def compute(self) -> Mapping[str, Estimate]:
        reference = self.all_of("reference")
        generated = self.all_of("generated")
        directions = random_directions(self.projections, reference.shape[1], self.seed)
        directions = directions.to(reference.device)

        along = sorted_along(reference, directions)
        steps = cache(partial(in_steps, along))  # of one or two counts without a group

        def distance(rows: Tensor) -> float:
            return _distance(*steps(len(rows)), sorted_along(rows, directions))

        return {"sliced_wasserstein": over_groups(distance, generated, least=0.0)}
