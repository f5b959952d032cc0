"""What a data set promises, and how each promise is tried."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from genbench import modalities, registry
from genbench.api import (
    LENGTH,
    Categorical,
    ConditionSpec,
    Samples,
    SampleSpec,
    Text,
    Vector,
)
from genbench.testing.checks import OPTIONS, Check, wrong_options

LOOKED_AT = 4096
"""Samples, spread evenly over the set."""

Open = Callable[[str], Samples]
"""A split's name, or whatever else comes after the colon → its samples."""


def dataset_checks(
    dataset: str | Callable[[str, Path], Samples],
    argument: str = "",
    *,
    data_dir: Path = Path("data"),
) -> list[Check]:
    """The promises of a data set: a registered name, or a factory.

    Args:
        dataset: What to check.
        argument: What comes after the colon of ``NAME:ARGUMENT``: a split, or a path.
        data_dir: Where downloaded sets lie.

    Raises:
        UsageError: An unknown name.
    """
    factory = registry.datasets.get(dataset) if isinstance(dataset, str) else dataset

    def opened(argument: str) -> Samples:
        return factory(argument, data_dir)

    checks: list[Check] = []

    def promise(text: str, attempt: Callable[[], str | None], *needs: Check) -> Check:
        checks.append(Check(text, "", attempt, needs))
        return checks[-1]

    it = partial(opened, argument)
    opens = promise("it opens, and says what it holds", partial(_opens, it))
    promise(
        f"its options {OPTIONS}",
        partial(wrong_options, factory, ("argument", "data_dir"), {}),
        opens,
    )
    promise(
        "its id is the same at every opening, and ends in @ and a hash", partial(_id, it), opens
    )
    fits = promise("what it holds is what its spec says", partial(_holds, it), opens)
    promise("conditions are within their range", partial(_conditions, it), fits)
    promise("decoding what was encoded gives it back", partial(_views, it), fits)
    promise("`take` depends on its indices alone", partial(_take, it), fits)
    promise("train and test differ", partial(_splits, opened, argument), fits)
    return checks


def _opens(opened: Callable[[], Samples]) -> str | None:
    samples: Any = opened()
    if not isinstance(getattr(samples, "spec", None), SampleSpec):
        return f"`spec` is a {type(getattr(samples, 'spec', None)).__name__}, not a SampleSpec"
    if (reason := modalities.impossible(samples.spec)) is not None:
        return reason
    if not isinstance(getattr(samples, "id", None), str):
        return f"`id` is a {type(getattr(samples, 'id', None)).__name__}, not text"
    return None if len(samples) > 0 else "it holds no samples"


def _id(opened: Callable[[], Samples]) -> str | None:
    one, two = opened().id, opened().id
    if one != two:
        return f"{one} and then {two}"
    return None if re.search(r"@[0-9a-f]{8,}$", one) else f"it is {one}"


def _holds(opened: Callable[[], Samples]) -> str | None:
    samples = opened()
    spec, indices = samples.spec, _spread(len(samples))
    data = samples.take(indices).data
    if tuple(data.shape) != (len(indices), *spec.shape):
        return f"{len(indices)} samples of {spec.shape} come as {tuple(data.shape)}"
    if spec.levels is None:
        if not data.is_floating_point():
            return f"without levels they are reals, not {data.dtype}"
        return None if data.isfinite().all() else "some are NaN or infinite"
    if data.is_floating_point() or data.dtype == torch.bool:
        return f"with {spec.levels} levels they are integers, not {data.dtype}"
    low, high = (int(end) for end in data.aminmax())
    if low < 0 or high > spec.levels - 1:
        return f"they run from {low} to {high}, not within 0…{spec.levels - 1}"
    return None


def _conditions(opened: Callable[[], Samples]) -> str | None:
    samples = opened()
    indices = _spread(len(samples))
    batch = samples.take(indices)
    condition = batch.condition
    if condition.keys() != samples.spec.condition.keys():
        return f"the samples have {sorted(condition)}, the spec {sorted(samples.spec.condition)}"
    for name, declared in samples.spec.condition.items():
        if wrong := _wrong(declared, condition[name], len(indices)):
            return f"{name!r} {wrong}"
    if LENGTH in condition and not torch.equal(
        samples.spec.pad(batch.data, condition[LENGTH]), batch.data
    ):
        return "samples are not zero beyond their length"
    for name, words in batch.texts.items():
        if not isinstance(samples.spec.condition.get(name), Text) or len(words) != len(indices):
            return f"the texts of {name!r} are not those of {len(indices)} samples"
    return None


def _wrong(declared: ConditionSpec, value: Tensor, rows: int) -> str | None:
    """What the values of a condition are that they should not be."""
    dtype, shape, count = torch.int64, [rows], 0
    match declared:
        case Vector(dim):
            dtype, shape = torch.float32, [rows, dim]
        case Text(max_tokens, count):
            shape = [rows, max_tokens]
        case Categorical(count):
            pass
    if value.dtype != dtype or list(value.shape) != shape:
        return f"is {value.dtype} of shape {list(value.shape)}, not {dtype} of {shape}"
    if dtype == torch.float32:
        return None if value.isfinite().all() else "is NaN or infinite"
    low, high = (int(end) for end in value.aminmax())
    within = low >= 0 and high < count
    return None if within else f"runs from {low} to {high}, not within 0…{count - 1}"


def _views(opened: Callable[[], Samples]) -> str | None:
    samples = opened()
    data = samples.take(_spread(len(samples))).data
    again = samples.spec.decode(samples.spec.encode(data))
    if again.dtype != data.dtype:
        return f"{data.dtype} comes back as {again.dtype}"
    unlike = int((again != data).flatten(1).any(1).sum())
    return f"{unlike} of {len(data)} samples come back changed" if unlike else None


def _take(opened: Callable[[], Samples]) -> str | None:
    samples = opened()
    indices = _spread(len(samples))[:64]
    data = samples.take(indices).data.clone()
    order = torch.cat([indices.flip(0), indices[:2], indices[:2]])
    expected = torch.cat([data.flip(0), data[:2], data[:2]])
    if not torch.equal(samples.take(order).data, expected):
        return "the samples do not come in the order of the indices, or a second time"
    if not torch.equal(samples.take(indices[-1:]).data, data[-1:]):
        return "a sample alone is not the one that comes among others"
    samples.take(indices).data.zero_()
    if not torch.equal(samples.take(indices).data, data):
        return "what is done to a batch is done to the samples"
    return None


def _splits(opened: Open, argument: str) -> str | None:
    if argument not in ("", "train", "test"):
        raise SkipTest(f"{argument} is no split")
    train, test = opened("train"), opened("test")
    if train.id == test.id:
        return f"both are {train.id}"
    known, rows = (set(_rows(samples)) for samples in (train, test))
    shared = len(known & rows)
    if 2 * shared > len(rows):
        return f"{shared} of {len(rows)} test samples are in train as well"
    return None


def _rows(samples: Samples) -> list[bytes]:
    data: Tensor = samples.take(_spread(len(samples))).data
    return [row.numpy().tobytes() for row in data.cpu()]


def _spread(length: int) -> Tensor:
    """``(min(length, LOOKED_AT),)`` different indices, the first and the last among them."""
    return torch.linspace(0, length - 1, min(length, LOOKED_AT), dtype=torch.float64).long()
