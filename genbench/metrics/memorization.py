"""Memorization: the share of generated samples that are copies of training samples."""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor

from genbench.api import Estimate, Output
from genbench.api.errors import UsageError
from genbench.metrics.distances import euclidean, paired, require_rows, row_slices
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.neighbours import nearest
from genbench.metrics.resampling import share

RATIO = 1 / 3
"""A copy is nearer to one training sample than this times its distance to any other."""

SAME = 1e-5
"""Training samples nearer to each other than this, relative to their norm, are one sample: float32
features of one image differ by as much from batch to batch."""


def memorized(generated: Tensor, train: Tensor) -> Tensor:
    """Which rows of ``(N, D)`` are copies of rows of ``(T, D)``: ``(N,)`` bool.

    A sample is memorized where its distance to the nearest training sample is under a third of that
    to the second nearest (Yoon et al. 2023; Gu et al. 2023). They measure in the space of pixels;
    here it is the extractor's space, and theirs with ``identity``. A training sample that is stored
    twice counts once: the second nearest is the nearest of those that differ from the nearest.
    Raises ``UsageError`` where none differs: then nothing says how near a copy lies.
    """
    distance, index = nearest(generated, train, 1, 2)
    closest, second = distance.unbind(dim=1)
    copied, other = index.unbind(dim=1)
    origin, none = torch.zeros_like(train[:1]), torch.zeros_like(copied)
    same = SAME * paired(train, origin, copied, none)
    (twinned,) = (paired(train, train, copied, other) <= same).nonzero(as_tuple=True)
    for part in row_slices(len(twinned), len(train)):
        rows = twinned[part]
        twins = euclidean(train[copied[rows]], train) <= same[rows, None]
        second[rows] = euclidean(generated[rows], train).masked_fill(twins, torch.inf).amin(dim=1)
    if second.isinf().any():
        raise UsageError(
            f"memorized needs 2 different train samples; all {len(train)} are one, to {SAME:g} of "
            "their norm"
        )
    return closest < RATIO * second


class Memorization(FeatureMetric):
    """Share of generated samples that are copies of training samples, in [0, 1].

    The share among unseen real samples is its floor, not 0: about (1/3)^d where the features are
    spread over d dimensions, 1/9 for points of the plane. The interval
    is over draws of the generated samples. Needs 2 different training samples.
    """

    sides: Set[str] = frozenset({"train", "generated"})
    outputs: Mapping[str, Output] = {
        "memorized": Output(False, "memorized", "memorization", decimals=3, floor="reference")
    }
    version = 2

    def compute(self) -> Mapping[str, Estimate]:
        train = self.all_of("train")
        generated = self.all_of("generated")
        require_rows("memorized", "train", train, least=2)
        return {"memorized": share(memorized(generated, train))}
