"""What scores say of the same sets: copied, collapsed and noisy ones beside real ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from genbench.api import Features
from genbench.evaluation import every_output, resolve

COUNT = 400
FIDELITY = (
    "frechet_distance",
    "frechet_distance_infinity",
    "kernel_distance",
    "gaussian_kernel_distance",
    "energy_distance",
    "sliced_wasserstein",
    "precision",
    "density",
)
"""Which noise never improves; scores of diversity (recall, coverage, vendi_score, and authenticity)
may rise with it, as samples scatter."""


def draw(seed: int) -> Tensor:
    """Correlated, skewed rows about a few directions, as features of a network are."""
    stream = torch.Generator().manual_seed(seed)
    mix = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    return (torch.randn(COUNT, 8, generator=stream) @ mix / 8).relu()


TRAIN, REFERENCE, FRESH = draw(1), draw(2), draw(3)
NOISE = torch.randn(COUNT, 8, generator=torch.Generator().manual_seed(4)) / 8
NOISE -= NOISE.mean(dim=0)  # or a little of it may bring a mean nearer by chance


def score(output: str, generated: Tensor) -> float:
    metric = resolve([output], seed=0).popitem()[1]
    sides: dict[str, Features] = {
        "train": {"features": TRAIN},
        "reference": {"features": REFERENCE},
        "generated": {"features": generated},
    }
    for side in metric.sides:
        metric.update(sides[side], side)
    return metric.compute()[output].value


@cache
def real(output: str) -> float:
    return score(output, FRESH)


def test_a_copied_training_set_looks_perfect_to_distances_and_is_caught_by_four() -> None:
    copied = TRAIN + 1e-4 * NOISE
    for output in ("frechet_distance", "kernel_distance", "energy_distance"):
        assert score(output, copied) < 2 * real(output) + 1e-3 * abs(real("frechet_distance"))
    assert score("precision", copied) > 0.9
    assert score("authenticity", copied) < 0.02 < 0.3 < real("authenticity")
    assert score("memorized", copied) > 0.98 > 0.1 > real("memorized")
    assert score("data_copying", copied) < -10 < -3 < real("data_copying")
    limit = real("feature_likelihood_divergence") + 20
    assert score("feature_likelihood_divergence", copied) > limit


def test_a_collapsed_set_is_precise_and_nothing_else() -> None:
    centre = REFERENCE[torch.cdist(REFERENCE, REFERENCE).sum(dim=1).argmin()]
    collapsed = centre + 1e-3 * NOISE
    assert score("precision", collapsed) > 0.95
    assert score("recall", collapsed) < 0.05
    assert score("coverage", collapsed) < 0.1
    assert score("vendi_score", collapsed) < 1.01
    for output in ("frechet_distance", "kernel_distance", "energy_distance"):
        assert score(output, collapsed) > 10 * real(output)


@pytest.mark.parametrize("output", FIDELITY)
def test_more_noise_never_improves_fidelity(output: str) -> None:
    values = [score(output, FRESH + level * NOISE) for level in (0, 2, 4, 8)]
    higher_is_better = output in ("precision", "density")
    assert values == sorted(values, reverse=higher_is_better)


ORDER_FREE = (*FIDELITY, "recall", "coverage", "vendi_score", "memorized", "authenticity")


@pytest.mark.parametrize("output", [o for o in ORDER_FREE if o != "frechet_distance_infinity"])
@pytest.mark.parametrize("reorder", [lambda x: x.flip(0), lambda x: x.roll(101, 0)])
def test_the_order_of_samples_says_nothing(
    output: str, reorder: Callable[[Tensor], Tensor]
) -> None:
    assert score(output, reorder(FRESH)) == pytest.approx(real(output), rel=1e-6)


OFFERED = {"features", "logits", "labels"}


@pytest.mark.parametrize(
    "output",
    [o for o in every_output() if resolve([o], seed=0).popitem()[1].needs <= OFFERED],
)
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_features_of_any_size_give_a_number_or_none_and_raise_nothing(
    output: str, scale: float
) -> None:
    """Squares, cubes and sums of the largest features of a float32 must not overflow on the way,
    nor those of the smallest be divided by."""
    (metric,) = resolve([output], seed=0).values()
    labels = torch.arange(COUNT) % 4
    for side, x in (("train", TRAIN), ("reference", REFERENCE), ("generated", FRESH)):
        if side in metric.sides:
            extra = {"logits": 1e3 * scale * x[:, :4], "labels": labels}
            metric.update({"features": scale * x, **extra}, side)
    estimate = metric.compute()[output]
    assert math.isfinite(estimate.value)
    if estimate.low is not None and estimate.high is not None:
        assert -math.inf < estimate.low <= estimate.value <= estimate.high < math.inf


SCALE_FREE = (
    "precision",
    "recall",
    "density",
    "coverage",
    "precision_closed",
    "vendi_score",
    "memorized",
    "authenticity",
    "data_copying",
    "feature_likelihood_divergence",
)


@pytest.mark.parametrize("output", SCALE_FREE)
@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
def test_the_unit_of_the_features_says_nothing(output: str, scale: float) -> None:
    (metric,) = resolve([output], seed=0).values()
    for side, x in (("train", TRAIN), ("reference", REFERENCE), ("generated", FRESH)):
        if side in metric.sides:
            metric.update({"features": scale * x}, side)
    assert metric.compute()[output].value == pytest.approx(real(output), rel=1e-6)
