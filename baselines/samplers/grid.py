"""The walk of a sampler over a grid of times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from genbench.api.samplers import Noise, Sampler, Solver


def path(
    sampler: Sampler | Solver, x: Tensor, times: Tensor, noise: Noise = torch.randn_like
) -> Iterator[Tensor]:
    """x ``(B, *shape)`` at ``times[1:]``, from x at ``times[0]``: ``(steps + 1,)``, decreasing."""
    if isinstance(sampler, Solver):
        yield from sampler.path(x, times)
        return
    for t, s in pairwise(times):
        x = sampler.step(x, t, s, noise)
        yield x


def integrate(
    sampler: Sampler | Solver, x: Tensor, times: Tensor, noise: Noise = torch.randn_like
) -> Tensor:
    """The last of ``path``: x at ``times[-1]``."""
    for passed in path(sampler, x, times, noise):
        x = passed
    return x


def strided_times(
    timesteps: int, steps: int, spacing: Literal["linear", "quadratic"] = "linear"
) -> Tensor:
    """``steps + 1`` different integers from ``timesteps`` down to 0; steps ≤ timesteps.

    The subsequences τ of Song, Meng & Ermon 2021 (appendix D.2), τ_i = c i or c i², with c such
    that the last timestep, where sampling starts, is among them.
    """
    index = torch.arange(steps, -1, -1)
    power = {"linear": 1, "quadratic": 2}[spacing]
    times = (timesteps * (index / steps).double() ** power).round().long()
    return torch.maximum(times, index)  # c i² crowds near 0
