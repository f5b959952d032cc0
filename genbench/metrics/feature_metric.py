"""The base class of metrics that need all features of a side at once."""

from __future__ import annotations

from collections.abc import Set

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Features


class FeatureMetric(Metric):
    """Keeps one of the features of each of its ``sides``, as they come."""

    reads = "features"
    """Which; the only one in ``needs`` unless a subclass reads more."""
    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"reference", "generated"})
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for side in sorted(self.sides):
            self.add_state(f"{side}_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features[self.reads]``, ``(B, D)``, of one of ``sides``."""
        getattr(self, f"{side}_features").append(features[self.reads])

    def all_of(self, side: str) -> Tensor:
        """``(N, D)``: all features of a side."""
        return dim_zero_cat(getattr(self, f"{side}_features"))
