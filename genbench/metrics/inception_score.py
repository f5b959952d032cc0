"""Inception score: how certain a classifier is of each sample, and how diverse its classes are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features, Output
from genbench.api.seeding import generator
from genbench.metrics.distances import require_rows
from genbench.metrics.resampling import mean


def inception_scores(logits: Tensor, splits: int = 1) -> Tensor:
    """exp E_x KL(p(y|x) ‖ p(y)), in [1, K], of each of consecutive splits of the rows.

    ``logits``: ``(N, K)``, N ≥ ``splits``. Returns ``(splits,)``, computed in float64 (Salimans et
    al. 2016, section 4).
    """
    log_p = logits.double().log_softmax(dim=1)
    n = len(log_p)
    scores = []
    for i in range(splits):
        part = log_p[i * n // splits : (i + 1) * n // splits]
        log_marginal = part.logsumexp(dim=0) - math.log(len(part))
        divergence = (part.exp() * (part - log_marginal)).sum(dim=1)
        scores.append(divergence.mean().exp())
    return torch.stack(scores)


class InceptionScore(Metric):
    """Inception score of the generated samples, mean over ``splits`` parts of a seeded shuffle.

    It never looks at real data, and it is the published score only over the published network. Each
    part has N/``splits`` samples, which biases it downwards where they are few (Barratt & Sharma
    2018): compare at equal counts and splits. The interval is Student's t for the mean of as many
    independent parts; there is none for a single one.
    """

    needs: Set[str] = frozenset({"logits"})
    sides: Set[str] = frozenset({"generated"})
    outputs: Mapping[str, Output] = {
        "inception_score": Output(
            True, "inception score", "fidelity", decimals=2, names={"inception": "IS"}
        )
    }
    version = 1
    full_state_update = False

    logits: list[Tensor]

    def __init__(self, *, splits: int = 10, seed: int = 0) -> None:
        super().__init__()
        self.splits = splits
        self.seed = seed
        self.add_state("logits", [], dist_reduce_fx="cat")

    def update(self, features: Features, side: str) -> None:
        """Add ``features["logits"]``, ``(B, K)``, of ``"generated"``."""
        self.logits.append(features["logits"])

    def compute(self) -> Mapping[str, Estimate]:
        logits = dim_zero_cat(self.logits)
        require_rows("inception_score", "generated", logits, least=self.splits)
        order = torch.randperm(len(logits), generator=generator(self.seed, "inception_score"))
        scores = inception_scores(logits[order.to(logits.device)], self.splits)
        return {"inception_score": mean(scores)}
