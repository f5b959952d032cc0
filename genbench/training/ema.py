"""Exponential moving average of a model's weights."""

from __future__ import annotations

import math

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.types import GenerativeModel


def decay(halflife: float, batch: int, step: int) -> float:
    """The weight that the average keeps at ``step`` (counted from 0).

    A half-life in images makes the average the same for every batch size (Karras et al. 2020).
    Early on it is min(decay, (1 + n) / (10 + n)), as in TensorFlow's moving averages, so that the
    random initial weights do not linger in short trainings.
    """
    return min(math.exp2(-batch / halflife), (1 + step) / (10 + step))


@torch.no_grad()
def update(average: GenerativeModel, model: GenerativeModel, decay: float) -> None:
    """Move ``average``'s parameters towards ``model``'s and copy its buffers, in place."""
    kept = list(average.parameters())
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move(kept, list(model.parameters()), 1)
    for ours, theirs in zip(average.buffers(), model.buffers(), strict=True):
        ours.copy_(theirs)
