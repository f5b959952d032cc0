"""What a metric promises, and how each promise is tried: on features of scikit-learn's digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from genbench import registry
from genbench.api import Estimate, Features, Metric, Output, Samples, TensorSamples
from genbench.api.seeding import generator
from genbench.data import open_samples
from genbench.evaluation import embed
from genbench.testing.checks import OPTIONS, Check, wrong_options

SIDES = ("train", "reference", "generated")
COUNT = 400
"""Samples of each side."""
BATCHES = (1, 37, 64, 90, 208)
"""Into which they are split."""
SPLIT_TOLERANCE = 1e-6
"""Relative, of a score: sums are taken in another order."""


@dataclass(frozen=True)
class Sets:
    """Features ``{"features", "logits"}``, and ``"labels"`` of the real sides, of ``COUNT``
    samples each."""

    train: Features
    reference: Features
    fresh: Features
    """Of the reference's distribution, unseen."""
    noise: Features
    """Of pictures whose pixels are independent and uniform."""
    collapsed: Features
    """Of one fresh picture, over and over."""

    def sides(self, generated: Features) -> dict[str, Features]:
        unlabelled = {name: value for name, value in generated.items() if name != "labels"}
        return {"train": self.train, "reference": self.reference, "generated": unlabelled}


@cache
def sets() -> Sets:
    """Made once a process."""
    train, test = (open_samples(f"digits:{split}", Path()) for split in ("train", "test"))
    spec, fresh = test.spec, test.take(torch.arange(COUNT, 2 * COUNT)).data
    noise = torch.randint(spec.levels or 0, fresh.shape, generator=generator(0, "noise"))
    return Sets(
        train=_features(_part(train, torch.arange(COUNT))),
        reference=_features(_part(test, torch.arange(COUNT))),
        fresh=_features(TensorSamples(spec, "fresh", fresh)),
        noise=_features(TensorSamples(spec, "noise", noise.byte())),
        collapsed=_features(TensorSamples(spec, "collapsed", fresh[:1].expand_as(fresh))),
    )


def _part(samples: Samples, indices: Tensor) -> TensorSamples:
    batch = samples.take(indices)
    return TensorSamples(samples.spec, samples.id, batch.data, batch.condition)


def _features(samples: Samples) -> Features:
    extractor = registry.extractors.get("digits")()
    batches = [*embed(samples, extractor, "cpu")]
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def metric_checks(
    metric: str | Callable[..., Metric], *, options: Mapping[str, Any] | None = None
) -> list[Check]:
    """The promises of a metric: a registered name, or a factory.

    A metric that needs features which the digits extractor does not give is skipped.

    Args:
        metric: What to check.
        options: Of the factory.

    Raises:
        UsageError: An unknown name or option.
    """
    factory = registry.metrics.get(metric) if isinstance(metric, str) else metric
    chosen = registry.check_options("the metric", factory, options or {})

    def build() -> Metric:
        return registry.call(factory, **chosen).to("cpu")  # type: ignore[no-any-return]

    checks: list[Check] = []

    def promise(
        text: str, attempt: Callable[[Callable[[], Metric]], str | None], *needs: Check
    ) -> Check:
        checks.append(Check(text, "", partial(attempt, build), needs))
        return checks[-1]

    signature = partial(wrong_options, factory, (), chosen)
    checks.append(Check(f"its options {OPTIONS}", "", signature))
    declares = promise(
        "it declares what it needs, which sides it sees, and its outputs",
        partial(_declares, factory),
    )
    computes = promise("`compute` returns an Estimate of every output", _computes, declares)
    finite = promise("scores are finite, within their intervals", _finite, computes)
    same = promise("the seed decides the scores", _deterministic, finite)
    promise("one batch or many, the scores are the same", _split, same)
    promise("an instance keeps its state to itself", _isolated, same)
    promise("it leaves the features as they were", _leaves, computes)
    promise("real samples do not score worse than bad ones", _direction, same)
    return checks


def _declares(factory: Any, build: Callable[[], Metric]) -> str | None:
    # Scores are chosen by output before anything is built.
    outputs = getattr(factory, "outputs", None)
    if not isinstance(outputs, Mapping) or not outputs:
        return f"`outputs` of the factory itself is {outputs!r}, not a mapping"
    for name, output in outputs.items():
        if not isinstance(name, str) or not isinstance(output, Output):
            return f"`outputs` has {name!r}: {output!r}, not a name: an Output"
    metric: Any = build()
    if metric.outputs != outputs:
        return "`outputs` of an instance is not that of the factory"
    for name in ("needs", "sides"):
        value = getattr(metric, name, None)
        if not isinstance(value, Set) or not all(isinstance(item, str) for item in value):
            return f"`{name}` is {value!r}, not a set of names"
    unknown = sorted(metric.sides - set(SIDES))
    if unknown or "generated" not in metric.sides:
        return f"`sides` is {sorted(metric.sides)}; there are {', '.join(SIDES)}"
    copies = [name for name, output in outputs.items() if output.floor == "train"]
    if "train" in metric.sides and copies:
        return f"the floor of {copies[0]!r} is 'train', whose samples it would find to be copies"
    return None


def _computes(build: Callable[[], Metric]) -> str | None:
    metric = build()
    missing = sorted(metric.needs - sets().reference.keys())
    if missing:
        raise SkipTest(f"the digits extractor gives no {' or '.join(missing)}")
    computed = _fed(metric, sets().fresh).compute()
    absent = sorted(metric.outputs.keys() - computed.keys())
    if absent:
        return f"{absent[0]!r} is missing"
    for name in metric.outputs:
        if not isinstance(computed[name], Estimate):
            return f"{name!r} is a {type(computed[name]).__name__}"
        if not isinstance(computed[name].value, float):
            return f"the value of {name!r} is a {type(computed[name].value).__name__}, not a float"
    return None


def _finite(build: Callable[[], Metric]) -> str | None:
    for name, estimate in _fed(build(), sets().fresh).compute().items():
        low = estimate.value if estimate.low is None else estimate.low
        high = estimate.value if estimate.high is None else estimate.high
        if not all(map(math.isfinite, (low, estimate.value, high))):
            return f"{name!r} is {estimate}"
        if not low <= estimate.value <= high:
            return f"{name!r} is {estimate.value:g}, outside {low:g} to {high:g}"
    return None


def _deterministic(build: Callable[[], Metric]) -> str | None:
    torch.manual_seed(0)
    one = _scores(_fed(build(), sets().fresh))
    torch.manual_seed(1)
    return _unlike(one, _scores(_fed(build(), sets().fresh)), 0.0)


def _split(build: Callable[[], Metric]) -> str | None:
    whole = _scores(_fed(build(), sets().fresh))
    return _unlike(whole, _scores(_fed(build(), sets().fresh, BATCHES)), SPLIT_TOLERANCE)


def _isolated(build: Callable[[], Metric]) -> str | None:
    alone = _scores(_fed(build(), sets().fresh))
    one, other = build(), build()
    _fed(one, sets().fresh)
    _fed(other, sets().noise)
    unlike = _unlike(alone, _scores(one), 0.0)
    if unlike:
        return f"{unlike} once another instance is fed"
    unlike = _unlike(alone, _scores(one), 0.0)
    return unlike and f"{unlike} when computed again"


def _leaves(build: Callable[[], Metric]) -> str | None:
    metric = build()
    given = sets().sides(sets().fresh)
    for side in sorted(metric.sides):
        before = {name: value.clone() for name, value in given[side].items()}
        handed = {name: value.clone() for name, value in before.items()}
        metric.update(handed, side)
        if handed.keys() != before.keys():
            return f"{sorted(handed.keys() ^ before.keys())[0]!r} of {side} comes or goes"
        for name, value in before.items():
            if not torch.equal(handed[name], value):
                return f"{name!r} of {side} changes"
    return None


def _direction(build: Callable[[], Metric]) -> str | None:
    """Which samples are bad follows from what a metric sees: noise beside the reference, copies
    beside the training set, one picture over and over where it sees the generated ones alone."""
    known, metric = sets(), build()
    bad = {"noise": known.noise} if "reference" in metric.sides else {}
    if "train" in metric.sides:
        bad["copies of the training set"] = known.train
    if not bad:
        bad["one sample over and over"] = known.collapsed
    real = _scores(_fed(metric, known.fresh))
    scores = {what: _scores(_fed(build(), samples)) for what, samples in bad.items()}
    for name, output in metric.outputs.items():
        sign = 1 if output.higher_is_better else -1
        if all(sign * real[name] < sign * of_bad[name] for of_bad in scores.values()):
            what, of_bad = next(iter(scores.items()))
            better = "higher" if output.higher_is_better else "lower"
            return (
                f"{name!r} is {real[name]:.3g} for real samples and {of_bad[name]:.3g} for {what}, "
                f"though {better} is better"
            )
    return None


def _fed(metric: Metric, generated: Features, batches: Iterable[int] = (COUNT,)) -> Metric:
    """All sides that the metric sees, in batches of these sizes."""
    sides = sets().sides(generated)
    for side in sorted(metric.sides):
        first = 0
        for rows in batches:
            # Copies, so that a metric which changes its features spoils no other check.
            part = {
                name: value[first : first + rows].clone() for name, value in sides[side].items()
            }
            metric.update(part, side)
            first += rows
    return metric


def _scores(metric: Metric) -> dict[str, float]:
    return {name: estimate.value for name, estimate in metric.compute().items()}


def _unlike(one: Mapping[str, float], two: Mapping[str, float], tolerance: float) -> str | None:
    for name, value in one.items():
        if not math.isclose(value, two[name], rel_tol=tolerance, abs_tol=tolerance):
            return f"{name!r} is {value:.9g} and then {two[name]:.9g}"
    return None
