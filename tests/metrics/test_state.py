"""What every metric promises: parts merge into the whole; copies and pickles; its schema."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from genbench.api import Estimate, Features
from genbench.metrics.authenticity import Authenticity
from genbench.metrics.caption_agreement import CaptionAgreement
from genbench.metrics.data_copying import DataCopying
from genbench.metrics.energy_distance import EnergyDistance
from genbench.metrics.feature_likelihood import FeatureLikelihoodDivergence
from genbench.metrics.frechet import FrechetDistance
from genbench.metrics.frechet_infinity import FrechetDistanceInfinity
from genbench.metrics.gaussian_kernel import GaussianKernelDistance
from genbench.metrics.inception_score import InceptionScore
from genbench.metrics.kernel import KernelDistance
from genbench.metrics.manifold import ClosedManifold, Manifold
from genbench.metrics.memorization import Memorization
from genbench.metrics.modes import Modes
from genbench.metrics.per_class import ClassAccuracy, PerClassFrechetDistance
from genbench.metrics.prompt_diversity import PromptDiversity
from genbench.metrics.r_precision import RPrecision
from genbench.metrics.sliced_wasserstein import SlicedWasserstein
from genbench.metrics.spatial_frechet import SpatialFrechetDistance
from genbench.metrics.text_image_similarity import TextImageSimilarity
from genbench.metrics.vendi import VendiScore
from genbench.registry import check_options

METRICS: list[Callable[..., Metric]] = [
    FrechetDistance,
    SpatialFrechetDistance,
    PerClassFrechetDistance,
    KernelDistance,
    GaussianKernelDistance,
    EnergyDistance,
    partial(InceptionScore, splits=1),  # more splits depend on the order of the samples
    Manifold,
    VendiScore,
    Memorization,
    Authenticity,
    Modes,
    SlicedWasserstein,
    ClassAccuracy,
    CaptionAgreement,
    TextImageSimilarity,
    PromptDiversity,
]
ORDERED: list[Callable[..., Metric]] = [
    FrechetDistanceInfinity,
    DataCopying,
    FeatureLikelihoodDivergence,
    partial(RPrecision, candidates=10),  # of as many different texts as there are here
]
"""Which draw subsets by place: what is put together in another order scores another number."""
SIDES = ("train", "reference", "generated")


def features(side: str) -> Features:
    stream = torch.Generator().manual_seed(SIDES.index(side))
    x = torch.randn(60, 4, generator=stream) + (0.3 if side == "generated" else 0)
    labels = x.abs().argmax(dim=1)
    agreement = (x[:, [0, 1, 2, 3, 1, 0, 2, 3, 0, 3, 1, 2]] > 0).float()
    return {
        "features": x,
        "spatial": x**3,
        "logits": 2 * x,
        "labels": labels,
        "agreement": agreement,
        "text_features": x.roll(1, dims=1) + x,
        "text_truncated": (x[:, 0] > 0).float(),
        "prompt": (x[:, 0] * 8).long(),
    }


def feed(metric: Metric, start: int = 0, stop: int = 60, batch: int = 15) -> Metric:
    for side in sorted(metric.sides):
        for first in range(start, stop, batch):
            part = {name: value[first : first + batch] for name, value in features(side).items()}
            metric.update(part, side)
    return metric


def values(metric: Metric) -> dict[str, float]:
    return {name: estimate.value for name, estimate in metric.compute().items()}


@pytest.mark.parametrize("build", [*METRICS, *ORDERED])
def test_computes_what_it_names(build: Callable[..., Metric]) -> None:
    metric = feed(build())
    computed = metric.compute()
    assert set(computed) == set(metric.outputs)
    for estimate in computed.values():
        assert isinstance(estimate, Estimate)
        assert isinstance(estimate.value, float)
    assert metric.sides <= set(SIDES)
    assert isinstance(metric.version, int)


@pytest.mark.parametrize("build", METRICS)
def test_merged_halves_equal_the_whole(build: Callable[..., Metric]) -> None:
    one, other = feed(build(), 0, 30), feed(build(), 30, 60)
    other.merge_state(one)
    assert values(other) == pytest.approx(values(feed(build())), rel=1e-9)


@pytest.mark.parametrize("build", [*METRICS, *ORDERED])
def test_two_processes_equal_the_whole(build: Callable[..., Metric]) -> None:
    """torchmetrics' own sync, with the other process's states handed over in place of a gather."""
    one, other = feed(build(), 0, 30), feed(build(), 30, 60)
    gathered = iter([dim_zero_cat(state) for state in other.metric_state.values()])
    one.distributed_available_fn = lambda: True
    one.dist_sync_fn = lambda mine, group: [mine, next(gathered)]
    assert values(one) == pytest.approx(values(feed(build())), rel=1e-9)


@pytest.mark.parametrize("build", [*METRICS, *ORDERED])
def test_pickled_and_cloned_and_reset(build: Callable[..., Metric]) -> None:
    whole = values(feed(build()))
    half = feed(build(), 0, 30)
    for copy in (pickle.loads(pickle.dumps(half)), half.clone()):
        assert values(feed(copy, 30, 60)) == pytest.approx(whole, rel=1e-12)
    half.reset()
    assert values(feed(half)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("build", [*METRICS, *ORDERED])
def test_batches_do_not_matter(build: Callable[..., Metric]) -> None:
    small, large = feed(build(), batch=1), feed(build(), batch=60)
    assert values(small) == pytest.approx(values(large), rel=1e-9)


def test_options_are_the_constructors_keywords() -> None:
    assert check_options("metric", Manifold, {}) == {"neighbours": 5, "balls": "open"}
    assert check_options("metric", InceptionScore, {"splits": 1}) == {"splits": 1, "seed": 0}
    assert check_options("metric", SlicedWasserstein, {}) == {"projections": 256, "seed": 0}
    assert check_options("metric", DataCopying, {}) == {"cells": 3, "seed": 0}
    for build in (FrechetDistanceInfinity, FeatureLikelihoodDivergence):
        assert check_options("metric", build, {}) == {"seed": 0}
    assert check_options("metric", RPrecision, {}) == {"candidates": 100, "seed": 0}
    assert check_options("metric", ClosedManifold, {}) == {"neighbours": 5, "balls": "closed"}
    seen = {Manifold, ClosedManifold, SlicedWasserstein}
    for other in (build for build in METRICS if isinstance(build, type) and build not in seen):
        assert check_options("metric", other, {}) == {}
