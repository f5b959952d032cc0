"""What a feature extractor promises, and how each promise is tried."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from genbench import registry
from genbench.api import Batch, FeatureExtractor, Features, Samples, SampleSpec
from genbench.data import open_samples
from genbench.evaluation.embedding import extract, facts
from genbench.testing.checks import DATA, OPTIONS, Check, all_refused, wrong_options

COUNT = 24
"""Samples that are embedded; batches are of two thirds of them."""

BATCH_TOLERANCE = 1e-4
"""Of a feature, relative to the largest: a batch of another size changes the last bits."""

SPECS = (
    SampleSpec("image", (1, 8, 8), levels=17),
    SampleSpec("image", (3, 32, 32)),
    SampleSpec("points", (2,), levels=None),
    SampleSpec("audio", (1, 16000), levels=65536, rate=16_000.0),
)
"""Kinds of samples of which ``supports`` is asked."""


class _ExtractorUnderTest:
    """An extractor's factory with its options, on some samples."""

    def __init__(self, build: Callable[[], FeatureExtractor], samples: Samples) -> None:
        self.build = build
        self.spec = samples.spec
        self.samples = samples
        self.stored = samples.take(torch.arange(min(COUNT, len(samples)))).data

    def batch(self, rows: Tensor | None = None) -> Batch:
        """Those at ``rows``, by default the first ``COUNT``; nothing else holds their data."""
        batch = self.samples.take(torch.arange(len(self.stored)) if rows is None else rows)
        return Batch(batch.data.clone(), batch.condition, batch.texts)

    @torch.no_grad()
    def embed(self, rows: Tensor | None = None) -> Features:
        """By a fresh extractor, of the samples at ``rows``."""
        return extract(self.build().to("cpu"), self.batch(rows), self.spec)


def extractor_checks(
    extractor: str | Callable[..., FeatureExtractor],
    *,
    options: Mapping[str, Any] | None = None,
    data: Sequence[str] = DATA,
    data_dir: Path = Path("data"),
) -> list[Check]:
    """The promises of a feature extractor: a registered name, or a factory.

    Args:
        extractor: What to check.
        options: Of the factory.
        data: The data sets to embed; the extractor must support one of them.
        data_dir: Where they lie.

    Raises:
        UsageError: An unknown name or option, data that cannot be opened.
    """
    factory = registry.extractors.get(extractor) if isinstance(extractor, str) else extractor
    chosen = registry.check_options("the extractor", factory, options or {})

    build = partial(registry.call, factory, **chosen)
    signature = Check(f"its options {OPTIONS}", "", partial(wrong_options, factory, (), chosen))
    says = Check("`supports` answers None or a reason", "", partial(_supports, build))
    groups = []
    for name in data:
        subject = _ExtractorUnderTest(build, open_samples(name, data_dir))
        groups.append(_on_data(subject, name, says))
    fits = partial(all_refused, [group[0] for group in groups], "name a data set that fits")
    return [
        signature,
        says,
        Check("it supports one of the data sets", "", fits, (says,)),
        *(check for group in groups for check in group),
    ]


def _on_data(subject: _ExtractorUnderTest, about: str, says: Check) -> list[Check]:
    checks: list[Check] = []

    def promise(
        text: str, attempt: Callable[[_ExtractorUnderTest], str | None], *needs: Check
    ) -> Check:
        checks.append(Check(text, about, partial(attempt, subject), needs))
        return checks[-1]

    supported = promise("it embeds these samples, or says why not", _refusal, says)
    shaped = promise(
        "features have a row a sample, and are floating and finite", _shapes, supported
    )
    promise("its id and its `resize`, if any, are text that never changes", _id, shaped)
    same = promise("the same samples have the same features", _deterministic, shaped)
    ordered = promise("rows are in the order of the samples", _order, same)
    promise(
        "a sample's features do not depend on the others of its batch",
        _independent_of_batch,
        ordered,
    )
    promise("its `facts`, if any, are truths by name for each sample", _facts, shaped)
    promise("it leaves the global generators of randomness alone", _generators, shaped)
    promise("it leaves the samples as they were", _leaves, shaped)
    return checks


def _supports(build: Callable[[], FeatureExtractor]) -> str | None:
    extractor = build()
    for spec in SPECS:
        answer: Any = extractor.supports(spec)
        if answer is not None and not (isinstance(answer, str) and answer):
            return f"of {spec.modality} {spec.shape} it says {answer!r}"
    return None


def _refusal(subject: _ExtractorUnderTest) -> None:
    reason = subject.build().supports(subject.spec)
    if reason is not None:
        raise SkipTest(reason)


def _shapes(subject: _ExtractorUnderTest) -> str | None:
    features = subject.embed()
    if not features:
        return "there are none"
    for name, value in features.items():
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != len(subject.stored):
            return f"{name!r} has not one row for each of {len(subject.stored)} samples"
        if name in ("features", "logits") and value.ndim != 2:
            return f"{name!r} has the shape {tuple(value.shape)}, not (B, D)"
        if not value.is_floating_point():
            return f"{name!r} is {value.dtype}"
        if not value.isfinite().all():
            return f"{name!r} is NaN or infinite"
    return None


def _id(subject: _ExtractorUnderTest) -> str | None:
    one, two = subject.build(), subject.build()
    for name in ("id", "resize"):
        # Scoring protocols say "none" for an extractor without a ``resize``.
        said, again = (getattr(e, name, "none" if name == "resize" else None) for e in (one, two))
        if not isinstance(said, str) or not said:
            return f"`{name}` is {said!r}"
        if said != again:
            return f"`{name}` is {said}, and then {again}"
    return None


def _deterministic(subject: _ExtractorUnderTest) -> str | None:
    torch.manual_seed(0)
    one = subject.embed()
    torch.manual_seed(1)
    unlike = _farthest(one, subject.embed(), 0.0)
    return unlike and f"a second time {unlike}"


def _order(subject: _ExtractorUnderTest) -> str | None:
    order = torch.randperm(len(subject.stored), generator=torch.Generator().manual_seed(0))
    permuted = {name: value[order] for name, value in subject.embed().items()}
    unlike = _farthest(permuted, subject.embed(order), BATCH_TOLERANCE)
    return unlike and f"with the samples in another order {unlike}"


def _independent_of_batch(subject: _ExtractorUnderTest) -> str | None:
    third = len(subject.stored) // 3
    rows = torch.arange(3 * third)
    with_some = subject.embed(rows[: 2 * third])
    for others in (torch.cat([rows[:third], rows[2 * third :]]), rows[:third]):
        embedded = subject.embed(others)
        one, two = ({k: v[:third] for k, v in f.items()} for f in (with_some, embedded))
        unlike = _farthest(one, two, BATCH_TOLERANCE)
        if unlike:
            return f"with other samples in the batch {unlike}"
    return None


def _facts(subject: _ExtractorUnderTest) -> str | None:
    extractor = subject.build().to("cpu")
    if not hasattr(extractor, "facts"):
        return None
    said = facts(extractor, subject.batch(), subject.spec)
    if len(said) != len(subject.stored):
        return f"there are {len(said)} for {len(subject.stored)} samples"
    wrong = [fact for stated in said for fact in stated.items() if type(fact[1]) is not bool]
    return f"{wrong[0][0]!r} is {wrong[0][1]!r}" if wrong else None


def _generators(subject: _ExtractorUnderTest) -> str | None:
    def states() -> tuple[bytes, bytes, bytes]:
        of_numpy = np.random.get_state()  # noqa: NPY002 - the global one is what is watched
        of_torch = torch.get_rng_state().numpy()
        return of_torch.tobytes(), pickle.dumps(of_numpy), pickle.dumps(random.getstate())

    extractor = subject.build().to("cpu")
    before = states()
    extract(extractor, subject.batch(), subject.spec)
    owners = ("torch", "numpy", "random")
    moved = [o for o, one, two in zip(owners, before, states(), strict=True) if one != two]
    return f"it draws from that of {moved[0]}" if moved else None


def _leaves(subject: _ExtractorUnderTest) -> str | None:
    batch = subject.batch()
    extract(subject.build().to("cpu"), batch, subject.spec)
    return (
        None if torch.equal(batch.data, subject.stored) else "the tensor that it is given changes"
    )


def _farthest(one: Features, two: Features, tolerance: float) -> str | None:
    """What differs by more than ``tolerance`` times the largest value."""
    for name in one:
        if one[name].shape != two[name].shape:
            return f"{name!r} has another shape"
        gap = float((one[name] - two[name]).abs().max())
        if gap > tolerance * float(one[name].abs().max()):
            return f"{name!r} changes by up to {gap:.2g}"
    return None
