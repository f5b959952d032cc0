"""Kernel distance: the squared maximum mean discrepancy of KID (Bińkowski et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.metrics.distances import require_rows, row_slices
from genbench.types import Estimate, Features


def polynomial_mmd2(x: Tensor, y: Tensor) -> float:
    """The unbiased MMD² under k(a, b) = (a·b/D + 1)³ (Bińkowski et al. 2018).

    The complete U-statistic over ``(N, D)`` and ``(M, D)``, N, M ≥ 2: what the customary average
    over random subsets estimates, without their noise or seed. About 0, also below, for equal
    distributions. Computed in float64, in bounded memory.
    """
    x, y = x.double(), y.double()
    n, m = len(x), len(y)
    within_x = _kernel_sum(x, x) - _diagonal_sum(x)
    within_y = _kernel_sum(y, y) - _diagonal_sum(y)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * _kernel_sum(x, y) / (n * m)


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    blocks = (x[rows] @ y.T for rows in row_slices(len(x), len(y)))
    return sum(float((block / x.shape[1] + 1).pow(3).sum()) for block in blocks)


def _diagonal_sum(x: Tensor) -> float:
    return float((x.square().mean(dim=1) + 1).pow(3).sum())


class KernelDistance(Metric):
    """Unbiased squared MMD of KID's polynomial kernel; it needs no seed and no subsets.

    It is the KID only over the published Inception network. Needs 2 samples a side.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"reference", "generated"})
    outputs: Mapping[str, bool] = {"kernel_distance": False}
    version = 1
    full_state_update = False

    reference_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("reference_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"reference"`` or ``"generated"``."""
        getattr(self, f"{side}_features").append(features["features"])

    def compute(self) -> Mapping[str, Estimate]:
        reference = dim_zero_cat(self.reference_features)
        generated = dim_zero_cat(self.generated_features)
        require_rows("kernel_distance", "reference", reference, least=2)
        require_rows("kernel_distance", "generated", generated, least=2)
        return {"kernel_distance": Estimate(polynomial_mmd2(reference, generated))}
