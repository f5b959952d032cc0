"""Exponential moving average of a model's weights."""

from __future__ import annotations

import math

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genbench.api import GenerativeModel


def decay(halflife: float, batch: int, step: int) -> float:
    """The weight that the average keeps at ``step`` (counted from 0).

    A half-life in examples makes the average the same for every batch size (Karras et al. 2020). It
    is corrected for its start as Adam's averages are (Kingma & Ba 2015, section 3), here as a
    recursion: after every step the weights stand to each other as the half-life says, and the
    random initial ones have none.
    """
    kept = math.exp2(-batch / halflife)
    return kept * (1 - kept**step) / (1 - kept ** (step + 1))


class ExponentialMovingAverage:
    """``average`` follows ``model``: its parameters by the moving average, its buffers by copies.

    The two are walked once: on small networks the walk costs as much as the arithmetic.
    """

    def __init__(self, average: GenerativeModel, model: GenerativeModel) -> None:
        self._parameters = list(average.parameters()), list(model.parameters())
        self._buffers = list(zip(average.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """θ̄ ← decay θ̄ + (1 - decay) θ, in place."""
        ours, theirs = self._parameters
        get_ema_multi_avg_fn(decay)(ours, theirs, 1)  # type: ignore[no-untyped-call]
        for kept, current in self._buffers:
            kept.copy_(current)
