"""Scores over a classifier's answers, as they stand in tables of generated speech."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

from torch import Tensor

from genbench.api import Estimate, Output
from genbench.metrics.distances import require_rows
from genbench.metrics.feature_metric import FeatureMetric
from genbench.metrics.resampling import over_groups

LARGEST = 700.0
"""Of an exponent."""


def modified_inception_score(logits: Tensor) -> float:
    """exp E_x E_x' KL(p(y|x) ‖ p(y|x')) of logits ``(N, K)``, over all pairs, at least 1
    (Gurumurthy et al. 2017, "DeLiGAN"); at most e⁷⁰⁰, since there is no greater number in float64.

    The published code draws random pairs, of which this is the mean. Computed in float64.
    """
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    own = (p * log_p).sum(dim=1).mean()
    # No divergence is below 0 but by rounding.
    divergence = float(own - p.mean(dim=0) @ log_p.mean(dim=0))
    return math.exp(min(max(divergence, 0.0), LARGEST))


def am_score(logits: Tensor, reference: Tensor) -> float:
    """KL(p̄* ‖ p̄) + E H(p(y|x)) in nats, in [0, ∞), of generated ``(N, K)`` and of reference logits
    ``(M, K)``, whose mean answer is p̄* (Zhou et al. 2018, "Activation maximization GANs")."""
    log_p, log_q = logits.double().log_softmax(dim=1), reference.double().log_softmax(dim=1)
    generated = log_p.logsumexp(dim=0) - math.log(len(log_p))
    real = log_q.logsumexp(dim=0) - math.log(len(log_q))
    entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
    return float((real.exp() * (real - generated)).sum() + entropy)


class ClassifierScores(FeatureMetric):
    """Modified inception score and AM score of the generated samples, over a classifier's logits.

    The modified inception score grows with how sure and how varied the answers are, as the
    inception score does, and has no greatest value: of a classifier that is sure of everything it
    is huge. The AM score is low where it is sure of each sample and all its answers are as frequent
    as for the reference. Both are comparable over one classifier alone. The intervals are the
    jackknife's over groups of the generated samples. They need 2 samples a side.
    """

    reads = "logits"
    needs: Set[str] = frozenset({"logits"})
    outputs: Mapping[str, Output] = {
        "modified_inception_score": Output(True, "modified inception score", "fidelity"),
        "am_score": Output(False, "AM score", "fidelity", minimum=0),
    }
    version = 1

    def compute(self) -> Mapping[str, Estimate]:
        reference, generated = self.all_of("reference"), self.all_of("generated")
        require_rows("classifier_scores", "reference", reference, least=2)
        require_rows("classifier_scores", "generated", generated, least=2)
        return {
            "modified_inception_score": over_groups(modified_inception_score, generated, least=1.0),
            "am_score": over_groups(lambda x: am_score(x, reference), generated, least=0.0),
        }
