"""Scores class by class: each class's own Fréchet distance, and counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genbench.api import Estimate
from genbench.api.errors import UsageError
from genbench.metrics.frechet import FrechetDistance
from genbench.metrics.per_class import (
    ClassAccuracy,
    PerClassFrechetDistance,
    class_frechet_distances,
)

of_class = torch.tensor([7, 2, 5]).repeat(30)


def rows(seed: int) -> Tensor:
    """Three classes, each with its own mean."""
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(90, 4, generator=stream) + of_class[:, None]


def distance(reference: Tensor, generated: Tensor) -> float:
    metric = FrechetDistance()
    metric.update({"features": reference}, "reference")
    metric.update({"features": generated}, "generated")
    return metric.compute()["frechet_distance"].value


def score(x: Tensor, x_labels: Tensor, y: Tensor, y_labels: Tensor, batch: int = 17) -> Estimate:
    metric = PerClassFrechetDistance()
    for side, data, labels in (("reference", x, x_labels), ("generated", y, y_labels)):
        for rows, classes in zip(data.split(batch), labels.split(batch), strict=True):
            metric.update({"features": rows, "labels": classes}, side)
    return metric.compute()["frechet_distance_per_class"]


def test_is_the_mean_of_the_classes_own_distances() -> None:
    x, y = rows(0), 1.5 * rows(1)
    expected = [distance(x[of_class == label], y[of_class == label]) for label in (2, 5, 7)]
    ours = class_frechet_distances(x, of_class, y, of_class)
    assert ours.tolist() == pytest.approx(expected, rel=1e-9)
    assert score(x, of_class, y, of_class).value == pytest.approx(sum(expected) / 3, rel=1e-9)


def test_sees_classes_that_are_exchanged() -> None:
    """Which the distance of all at once does not."""
    x = rows(2)
    exchanged = of_class.roll(1)
    assert distance(x, x) == pytest.approx(0, abs=1e-9)
    assert score(x, of_class, x, of_class).value == pytest.approx(0, abs=1e-9)
    assert score(x, of_class, x, exchanged).value > 10


def test_order_does_not_matter() -> None:
    x, y = rows(3), rows(4)
    value = score(x, of_class, y, of_class).value
    order = torch.randperm(90)
    again = score(x, of_class, y[order], of_class[order]).value
    assert again == pytest.approx(value, rel=1e-9)


def test_notes_classes_that_are_smaller_than_the_dimension() -> None:
    x = torch.randn(90, 40)
    assert (
        score(x, of_class, x + 1, of_class).note
        == "30 samples of a class fit no covariance of 40 features"
    )
    assert score(rows(5), of_class, rows(6), of_class).note is None


def test_a_class_that_one_side_lacks() -> None:
    x, few = rows(7), of_class != 5
    with pytest.raises(UsageError, match=r"at least 2 generated samples of class 5; there are 0"):
        score(x, of_class, x[few], of_class[few])
    with pytest.raises(UsageError, match=r"at least 2 reference samples of class 5; there are 0"):
        score(x[few], of_class[few], x, of_class)


def accuracy(logits: Tensor, labels: Tensor, classes: Tensor) -> Estimate:
    metric = ClassAccuracy()
    metric.update({"logits": torch.zeros(len(classes), 3), "labels": classes}, "reference")
    metric.update({"logits": logits, "labels": labels}, "generated")
    return metric.compute()["class_accuracy"]


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 3], [5, 4, 0]])
    estimate = accuracy(logits, torch.tensor([0, 1, 0, 1]), torch.arange(3))
    assert estimate.value == 0.5
    assert (estimate.low, estimate.high) == pytest.approx((0.15, 0.85), abs=1e-3)  # Wilson, 2 of 4


def test_accuracy_of_a_classifier_of_other_classes_is_refused() -> None:
    """The published Inception network has 1,008 logits, which say nothing of ten digits."""
    with pytest.raises(UsageError, match="the reference's 3 classes; this one has 1008"):
        accuracy(torch.zeros(4, 1008), torch.zeros(4, dtype=torch.int64), torch.arange(3))


@pytest.mark.parametrize("metric", [PerClassFrechetDistance(), ClassAccuracy()])
def test_samples_without_labels_are_refused(
    metric: PerClassFrechetDistance | ClassAccuracy,
) -> None:
    with pytest.raises(UsageError, match="needs generated samples with labels"):
        metric.update({"features": torch.zeros(3, 2), "logits": torch.zeros(3, 2)}, "generated")
