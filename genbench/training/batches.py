"""Which samples each step sees, and how they get to the device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from genbench.api import Batch, Samples, TensorSamples
from genbench.api.seeding import generator

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
        return Batch(spec.encode(batch.data), batch.condition)

    if len(samples) * prod(spec.shape) * width <= RESIDENT_BYTES:
        everything = samples.take(torch.arange(len(samples))).to(device)
        whole = TensorSamples(spec, samples.id, everything.data, everything.condition)
        return lambda step: encoded(whole.take(order.indices(step)[rank::world].to(device)))

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
    parts = {name: value.chunk(count) for name, value in batch.condition.items()}
    return [
        Batch(data, {name: values[k] for name, values in parts.items()})
        for k, data in enumerate(batch.data.chunk(count))
    ]


def random_horizontal_flip(batch: Batch) -> Batch:
    """Each sample mirrored along its last axis with probability ½ (torch's global generator)."""
    mirrored = torch.rand(len(batch), device=batch.data.device) < 0.5
    mask = mirrored.view(-1, *[1] * (batch.data.dim() - 1))
    return Batch(torch.where(mask, batch.data.flip(-1), batch.data), batch.condition)


def dequantize(batch: Batch, levels: int) -> Batch:
    """Level k of ``levels`` made the model's view of k + U - 1/2, U in [0, 1) of each number
    (torch's global generator): the uniform dequantisation of Theis et al. 2016, with which a
    likelihood of whole levels is stated."""
    noise = torch.rand_like(batch.data).sub_(0.5).mul_(2 / (levels - 1))
    return Batch(batch.data + noise, batch.condition)
