"""Sliced Wasserstein distance: optimal transport along random directions (Bonneel et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genbench.metrics.distances import row_slices
from genbench.metrics.kept import KeepsFeatures
from genbench.metrics.resampling import over_groups
from genbench.seeding import generator
from genbench.types import Estimate


def sliced_wasserstein(x: Tensor, y: Tensor, directions: Tensor) -> float:
    """(E_θ W₂²(θ·x, θ·y))^½, in [0, ∞), in the features' unit; θ: the rows of ``directions``.

    ``x``: ``(N, D)``; ``y``: ``(M, D)``; ``directions``: ``(P, D)`` of norm 1 (Bonneel et al.
    2015). In one dimension W₂² = ∫₀¹ (F⁻¹(u) - G⁻¹(u))² du over the two quantile functions,
    which are steps: exact for N ≠ M also. Computed in float64.
    """
    x, y, directions = x.double(), y.double(), directions.double()
    n, m = len(x), len(y)
    # Quantile levels in units of 1/(nm): whole numbers, so that common steps meet exactly.
    steps = torch.unique(torch.cat([m * torch.arange(1, n + 1), n * torch.arange(1, m + 1)]))
    widths = steps.diff(prepend=steps.new_zeros(1)).double() / (n * m)
    of_x, of_y = (steps - 1) // m, (steps - 1) // n
    of_x, of_y, widths = of_x.to(x.device), of_y.to(x.device), widths.to(x.device)
    total = 0.0
    for rows in row_slices(len(directions), len(steps)):
        along_x = (directions[rows] @ x.T).sort(dim=1).values
        along_y = (directions[rows] @ y.T).sort(dim=1).values
        total += float(((along_x[:, of_x] - along_y[:, of_y]).square() @ widths).sum())
    return float((total / len(directions)) ** 0.5)


def random_directions(count: int, dimension: int, seed: int) -> Tensor:
    """``count`` directions uniform on the sphere: ``(count, dimension)`` float64 of norm 1."""
    stream = generator(seed, "sliced_wasserstein")
    return normalize(torch.randn(count, dimension, generator=stream, dtype=torch.float64), dim=1)


class SlicedWasserstein(KeepsFeatures):
    """Sliced 2-Wasserstein distance between reference and generated features, in their unit.

    Its bias is upwards: compare at equal counts. The interval is the jackknife's over groups of the
    generated samples, the reference and the directions being held fixed.
    """

    outputs: Mapping[str, bool] = {"sliced_wasserstein": False}
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

        def distance(rows: Tensor) -> float:
            return sliced_wasserstein(reference, rows, directions)

        return {"sliced_wasserstein": over_groups(distance, generated, least=0.0)}
