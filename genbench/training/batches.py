"""The batches of a training: which samples each step sees, and their transfer to the device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from genbench import registry
from genbench.api import Batch, Samples, SampleSpec, TensorSamples
from genbench.api.errors import UsageError
from genbench.api.seeding import generator
from genbench.suite.train import Train

RESIDENT_BYTES = 2 << 30
"""Samples up to this size live whole on the training device."""


class EpochSampler:
    """The order of the samples: every epoch its own permutation, a function of (seed, epoch) alone,
    so that a resumed training continues it exactly."""

    def __init__(self, size: int, batch: int, seed: int) -> None:
        self.size, self.batch, self.seed = size, batch, seed
        self._epoch = lru_cache(maxsize=2)(self._shuffle)

    def indices(self, step: int) -> Tensor:
        """``(batch,)`` int64: the samples of ``step``; epochs follow each other without a gap."""
        first, last = step * self.batch, (step + 1) * self.batch
        parts = []
        for epoch in range(first // self.size, (last - 1) // self.size + 1):
            start = epoch * self.size
            parts.append(self._epoch(epoch)[max(first - start, 0) : last - start])
        return torch.cat(parts)

    def _shuffle(self, epoch: int) -> Tensor:
        return torch.randperm(self.size, generator=generator(self.seed, "order", epoch))


def loader(
    samples: Samples, order: EpochSampler, *, rank: int, world: int, device: torch.device
) -> Callable[[int], Batch]:
    """``step`` → this rank's share of the step's batch in the model's view, on ``device``.

    Samples that fit are moved to the device once; others are read one step ahead by a thread.
    """
    spec = samples.spec
    width = 4 if spec.levels is None or spec.levels > 256 else 1

    def encoded(batch: Batch) -> Batch:
        batch = batch.to(device)
        return replace(batch, data=spec.encode(batch.data))

    if len(samples) * prod(spec.shape) * width <= RESIDENT_BYTES:
        everything = samples.take(torch.arange(len(samples))).to(device)
        whole = TensorSamples(
            spec, samples.id, everything.data, everything.condition, everything.texts
        )
        return lambda step: encoded(whole.take(order.indices(step)[rank::world]))

    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
    ahead: dict[int, Future[Batch]] = {}

    def read(step: int) -> Future[Batch]:
        return reader.submit(samples.take, order.indices(step)[rank::world])

    def streamed(step: int) -> Batch:
        future = ahead.pop(step, None) or read(step)
        ahead.clear()
        ahead[step + 1] = read(step + 1)
        return encoded(future.result())

    return streamed


def split(batch: Batch, count: int) -> list[Batch]:
    """``count`` micro-batches of one size, which divides the batch."""
    size = len(batch) // count
    rows = [slice(first, first + size) for first in range(0, len(batch), size)]
    return [
        Batch(
            batch.data[part],
            {name: values[part] for name, values in batch.condition.items()},
            {name: words[part] for name, words in batch.texts.items()},
        )
        for part in rows
    ]


def preparation(train: Train, spec: SampleSpec) -> Callable[[Batch], Batch]:
    """A function that prepares a step's batch, in the model's view: the augmentations in their
    order, then the dequantisation.

    Raises ``UsageError`` for an augmentation that is unknown or not for these samples, or for a
    dequantisation of real ones; ``PluginError`` for an augmentation at fault.
    """
    levels = spec.levels
    if train.dequantize and levels is None:
        raise UsageError("dequantize is for whole levels; these samples are real-valued")
    augmentations = [registry.augmentations.make(name, spec) for name in train.augment]

    def prepare(batch: Batch) -> Batch:
        for augment in augmentations:
            batch = augment(batch)
        return dequantize(batch, levels) if train.dequantize and levels is not None else batch

    return prepare


def dequantize(batch: Batch, levels: int) -> Batch:
    """Level k of ``levels`` made the model's view of k + U - 1/2, U in [0, 1) of each number
    (torch's global generator): the uniform dequantisation of Theis et al. 2016, with which a
    likelihood of whole levels is stated."""
    noise = torch.rand_like(batch.data).sub_(0.5).mul_(2 / (levels - 1))
    return replace(batch, data=batch.data + noise)
