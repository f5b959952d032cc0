"""Authenticity: the share of generated samples that are no copies of training samples."""

from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.metrics.distances import require_rows
from genbench.metrics.manifold import kept_radii
from genbench.metrics.neighbours import nearest
from genbench.metrics.resampling import share
from genbench.types import Estimate, Features


def authentic(generated: Tensor, train: Tensor) -> Tensor:
    """Which rows of ``(N, D)`` are authentic beside those of ``(T, D)``, T ≥ 2: ``(N,)`` bool.

    A sample is authentic where it is farther from its nearest training sample than this is from
    the nearest other one (Alaa et al. 2022).
    """
    distance, index = nearest(generated, train, 1, 1)
    return kept_radii(train, 1)[index[:, 0]] < distance[:, 0]


class Authenticity(Metric):
    """Share of generated samples that are authentic, in [0, 1]: AuthPct as a share.

    Unseen real samples do not score 1: they are inauthentic where they and a training sample are
    each other's nearest, which leaves from 1/3 (on a line) to 1/2 (in many dimensions). Samples far
    off the data are authentic too, so it says nothing by itself. The interval is over draws of the
    generated samples. Needs 2 training samples.
    """

    needs: Set[str] = frozenset({"features"})
    sides: Set[str] = frozenset({"train", "generated"})
    outputs: Mapping[str, bool] = {"authenticity": True}
    version = 1
    full_state_update = False

    train_features: list[Tensor]
    generated_features: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("train_features", [], dist_reduce_fx="cat")
        self.add_state("generated_features", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["features"]``, ``(B, D)``, of ``"train"`` or ``"generated"``."""
        getattr(self, f"{side}_features").append(features["features"])

    def compute(self) -> Mapping[str, Estimate]:
        train = dim_zero_cat(self.train_features)
        generated = dim_zero_cat(self.generated_features)
        require_rows("authenticity", "train", train, least=2)
        return {"authenticity": share(authentic(generated, train))}
