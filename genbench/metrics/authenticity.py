"""Authenticity: the share of generated samples that are no copies of training samples."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.distances import require_rows
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.manifold import cached_radii
from genbench.metrics.neighbours import nearest
from genbench.metrics.resampling import share


def authentic(generated: Tensor, train: Tensor) -> Tensor:
    """Which rows of ``(N, D)`` are authentic beside those of ``(T, D)``, T ≥ 2: ``(N,)`` bool.

    A sample is authentic where it is farther from its nearest training sample than this is from
    the nearest other one (Alaa et al. 2022).
    """
    distance, index = nearest(generated, train, 1, 1)
    return cached_radii(train, 1)[index[:, 0]] < distance[:, 0]


class Authenticity(FeatureMetric):
    """Share of generated samples that are authentic, in [0, 1]: AuthPct as a share.

    Unseen real samples do not score 1: they are inauthentic where they and a training sample are
    each other's nearest, which leaves from 1/3 (on a line) to 1/2 (in many dimensions). Samples far
    off the data are authentic too, so it says nothing by itself. The interval is over draws of the
    generated samples. Needs 2 training samples.
    """

    sides: Set[str] = frozenset({"train", "generated"})
    outputs: Mapping[str, Output] = {
        "authenticity": Output(True, "authenticity", "memorization", decimals=3, floor="reference")
    }
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        train = self.all_of("train")
        generated = self.all_of("generated")
        require_rows("authenticity", "train", train, least=2)
        copies = int((cached_radii(train, 1) == 0).sum())
        note = None
        if copies:
            note = (
                f"{copies} of {len(train)} train samples are copies of others: beside one of them "
                "all but its own copies are authentic"
            )
        return {"authenticity": replace(share(authentic(generated, train)), note=note)}
