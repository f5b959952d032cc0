"""Inception score against torch-fidelity and closed forms."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from genbench.api.errors import UsageError
from genbench.api.seeding import generator
from genbench.metrics.inception_score import InceptionScore, inception_scores


def score(logits: Tensor, **options: int) -> float:
    metric = InceptionScore(**options)
    for part in logits.split(64):
        metric.update({"logits": part}, "generated")
    return metric.compute()["inception_score"].value


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_equals_torch_fidelity(splits: int) -> None:
    logits = 3 * torch.randn(503, 17, generator=torch.Generator().manual_seed(0))
    theirs = isc_features_to_metric(logits, splits=splits, shuffle=False)["inception_score_mean"]
    ours = inception_scores(logits, splits)
    assert len(ours) == splits
    assert float(ours.mean()) == pytest.approx(theirs, rel=1e-6)


def test_one_split_of_the_metric_equals_torch_fidelity() -> None:
    logits = 3 * torch.randn(200, 10)
    theirs = isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    assert score(logits, splits=1) == pytest.approx(theirs, rel=1e-6)


def test_sure_and_varied_scores_the_number_of_classes() -> None:
    assert float(inception_scores(1000 * torch.eye(10).repeat(5, 1))) == pytest.approx(10)


def test_one_class_and_no_idea_both_score_one() -> None:
    assert float(inception_scores(1000 * torch.eye(10)[:1].repeat(50, 1))) == pytest.approx(1)
    assert float(inception_scores(torch.zeros(50, 10))) == pytest.approx(1)


def test_sorted_samples_are_shuffled_by_the_seed_alone() -> None:
    """Unshuffled, each of ten splits of sorted classes would score 1."""
    logits = 1000 * torch.eye(10).repeat_interleave(50, dim=0)
    torch.manual_seed(0)
    first = score(logits)
    torch.manual_seed(1)
    assert score(logits) == first
    assert first > 5
    assert score(logits, seed=1) != first


def test_too_few_samples_for_the_splits() -> None:
    with pytest.raises(UsageError, match="at least 10 generated samples; there are 9"):
        score(torch.zeros(9, 3))


def test_interval_is_student_s_t_over_the_splits() -> None:
    logits = 3 * torch.randn(400, 10, generator=torch.Generator().manual_seed(1))
    metric = InceptionScore(splits=8)
    metric.update({"logits": logits}, "generated")
    estimate = metric.compute()["inception_score"]
    order = torch.randperm(400, generator=generator(0, "inception_score"))
    parts = inception_scores(logits[order], 8)
    low, high = stats.ttest_1samp(parts.numpy(), 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_one_split_has_no_interval() -> None:
    metric = InceptionScore(splits=1)
    metric.update({"logits": torch.randn(20, 3)}, "generated")
    estimate = metric.compute()["inception_score"]
    assert (estimate.low, estimate.high) == (None, None)
