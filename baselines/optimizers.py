"""What becomes of the learning rate; and how the diffusions learn: Adam and a warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import Field

from genbench.api import Optimization, Progress

Decay: TypeAlias = Literal["cosine", "linear", "none"]
Beta2: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
"""Options of the contestants, as their signatures declare them."""

WARMUP = 0.02
"""Share of a training over which the learning rate rises from 0, unless told in examples."""

_FACTORS: dict[Decay, Callable[[float], float]] = {
    "cosine": lambda fraction: (1 + math.cos(math.pi * fraction)) / 2,
    "linear": lambda fraction: 1 - fraction,
    "none": lambda fraction: 1.0,
}
"""Of the learning rate, at a fraction of the training."""


def decaying(decay: Decay) -> Callable[[Progress], float]:
    """A schedule: 1 at the start; 0 at the end, unless ``decay`` is ``none``."""
    return lambda progress: _FACTORS[decay](progress.fraction)


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam; a linear warm-up; decay to 0, or none; gradients clipped to norm 1.

    ``beta2`` is 0.99 (as in Karras et al. 2024, EDM2) rather than Adam's 0.999, whose average of a
    thousand steps is most of a short training.
    """

    rate: float
    """At its peak."""
    decay: Decay = "cosine"
    warmup: int | None = None
    """Examples over which the rate rises from 0; ``None``: 2 % of the training."""
    beta2: float = 0.99

    def schedule(self, progress: Progress) -> float:
        fraction = progress.fraction
        risen = fraction / WARMUP if self.warmup is None else progress.examples / self.warmup
        return min(1.0, risen) * _FACTORS[self.decay](fraction)

    def optimization(self) -> Optimization:
        return Optimization(
            optimizer=partial(torch.optim.Adam, lr=self.rate, betas=(0.9, self.beta2), fused=True),
            schedule=self.schedule,
            clip_norm=1.0,
        )
