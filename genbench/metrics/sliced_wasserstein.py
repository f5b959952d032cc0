"""Sliced Wasserstein distance: optimal transport along random directions (Bonneel et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.metrics.distances import row_slices
from genbench.metrics.resampling import over_groups
from genbench.seeding import generator
from genbench.types import Estimate, Features


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


class SlicedWasserstein(Metric):
    """Sliced 2-Wasserstein distance between reference and generated features, in their unit.

    Its bias is upwards: compare at equal counts. The interval is the jackknife's over groups of the
    generated samples, the reference and the directions being held fixed.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, bool] = {"sliced_wasserstein": False}
    version = 1
    full_state_update = False

    reference_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self, *, projections: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.projections = projections
        self.seed = seed
        self.add_state("reference_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"reference"`` or ``"generated"``."""
        getattr(self, f"{side}_features").append(features["features"])

    def compute(self) -> Mapping[str, Estimate]:
        reference = dim_zero_cat(self.reference_features)
        generated = dim_zero_cat(self.generated_features)
        directions = random_directions(self.projections, reference.shape[1], self.seed)
        directions = directions.to(reference.device)

        def distance(rows: Tensor) -> float:
            return sliced_wasserstein(reference, rows, directions)

        return {"sliced_wasserstein": over_groups(distance, generated, least=0.0)}
