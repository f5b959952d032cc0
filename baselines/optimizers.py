"""Adam and its learning rate: what the contestants share, and their options."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from genbench.api import Optimization, Progress

Decay: TypeAlias = Literal["cosine", "linear", "none"]
Beta2: TypeAlias = Annotated[float, Field(ge=0, lt=1)]

WARMUP = 0.02
"""Share of a training over which the learning rate rises from 0, unless ``warmup`` is given."""

_FACTORS: dict[Decay, Callable[[float], float]] = {
    "cosine": lambda fraction: (1 + math.cos(math.pi * fraction)) / 2,
    "linear": lambda fraction: 1 - fraction,
    "none": lambda fraction: 1.0,
}
"""What the learning rate is multiplied by, at a fraction of the training."""


def adam(
    learning_rate: float,
    betas: tuple[float, float],
    schedule: Callable[[Progress], float],
    *,
    clip_norm: float | None = None,
) -> Optimization:
    """Adam, whose ``learning_rate`` every step multiplies by ``schedule``."""
    adam = partial(torch.optim.Adam, lr=learning_rate, betas=betas, fused=True)
    return Optimization(adam, schedule, clip_norm)


@dataclass(frozen=True)
class RateOptions:
    """Options of the GANs and of the VAE: the learning rate, which falls from the start."""

    learning_rate: PositiveFloat
    """At the start, for every player."""
    decay: Decay = "linear"
    """How it falls to 0 at the end of the training; ``none``: it stays."""

    def adam(self, betas: tuple[float, float], *, clip_norm: float | None = None) -> Optimization:
        return adam(self.learning_rate, betas, self.schedule, clip_norm=clip_norm)

    def schedule(self, progress: Progress) -> float:
        return _FACTORS[self.decay](progress.fraction)


@dataclass(frozen=True)
class OptimizerConfig:
    """Options of the diffusions: Adam, a linear warm-up, and a decay of the learning rate.

    Gradients are clipped to norm 1. ``beta2`` is 0.99 (as in Karras et al. 2024, EDM2) rather than
    Adam's 0.999, whose average of a thousand steps is most of a short training.
    """

    learning_rate: PositiveFloat = 3e-3
    """At its peak."""
    decay: Decay = "cosine"
    """To 0 at the end of the training; ``none``: no decay."""
    warmup: PositiveInt | None = None
    """Examples over which the rate rises from 0; ``None``: 2 % of the training."""
    beta2: Beta2 = 0.99

    def schedule(self, progress: Progress) -> float:
        fraction = progress.fraction
        risen = fraction / WARMUP if self.warmup is None else progress.examples / self.warmup
        return min(1.0, risen) * _FACTORS[self.decay](fraction)

    def optimization(self) -> Optimization:
        return adam(self.learning_rate, (0.9, self.beta2), self.schedule, clip_norm=1.0)
