"""Modified inception score and AM score against their definitions."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from scipy.stats import entropy

from genbench.api.errors import UsageError
from genbench.metrics.classifier_scores import ClassifierScores, am_score, modified_inception_score


def test_the_modified_score_is_over_all_pairs() -> None:
    """As SaShiMi's code has it, of every pair in the place of random ones."""
    logits = 2 * torch.randn(25, 7, dtype=torch.float64)
    p = logits.softmax(dim=1).numpy()
    divergences = [entropy(one, other) for one, other in product(p, p)]
    expected = math.exp(sum(divergences) / len(divergences))
    assert modified_inception_score(logits) == pytest.approx(expected)


def test_the_am_score_is_the_divergence_of_the_means_and_the_mean_entropy() -> None:
    logits, reference = 2 * torch.randn(2, 40, 7, dtype=torch.float64)
    p, q = logits.softmax(dim=1).numpy(), reference.softmax(dim=1).numpy()
    expected = entropy(q.mean(axis=0), p.mean(axis=0)) + entropy(p, axis=1).mean()
    assert am_score(logits, reference) == pytest.approx(expected)


def test_no_idea_and_one_class() -> None:
    nothing, classes = torch.zeros(20, 5), 50 * torch.eye(5).repeat(4, 1)
    assert modified_inception_score(nothing) == pytest.approx(1)
    assert modified_inception_score(50 * torch.eye(5)[:1].repeat(20, 1)) == pytest.approx(1)
    assert modified_inception_score(classes) > 1e15
    assert am_score(classes, classes) == pytest.approx(0, abs=1e-9)
    assert am_score(nothing, classes) == pytest.approx(math.log(5))
    assert am_score(classes[::5], classes) > 10  # four classes are missing


def test_the_metric_and_its_intervals() -> None:
    metric = ClassifierScores()
    reference, generated = torch.randn(2, 60, 4)
    for part in reference.split(25):
        metric.update({"logits": part}, "reference")
    metric.update({"logits": generated}, "generated")
    found = metric.compute()
    assert found["am_score"].value == pytest.approx(am_score(generated, reference))
    score = found["modified_inception_score"]
    assert score.value == pytest.approx(modified_inception_score(generated))
    assert score.low is not None
    assert 1 <= score.low < score.value
    metric.reset()
    metric.update({"logits": reference}, "reference")
    metric.update({"logits": generated[:1]}, "generated")
    with pytest.raises(UsageError, match="at least 2 generated samples; there are 1"):
        metric.compute()
