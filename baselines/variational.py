"""The variational bound of a DDPM with learned variances (Nichol & Dhariwal 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from baselines.samplers import posterior_mean
from baselines.schedules import Schedule, on, transition


def bound(
    schedule: Schedule, levels: int | None, x_0: Tensor, guess: Tensor, v: Tensor, t: Tensor
) -> Tensor:
    """The bound's term at each t, L_{t-1} (Ho et al. 2020, eq. 5), in bits a dimension: ``(B,)``.

    For t > 1 the divergence of p(x_{t-1} | x_t) from q(x_{t-1} | x_t, x_0); for t = 1 the negative
    log likelihood of x_0.

    Args:
        schedule: Over integers, of at least 2 timesteps.
        levels: Of the stored data that x_0 encodes; ``None``: real-valued.
        x_0: ``(B, *shape)``.
        guess: x_0 as a network has it, which makes the mean of p: ``(B, *shape)``.
        v: Where the variance of p lies between β̃_t (0) and β_t (1): ``(B, *shape)``.
        t: ``(B,)`` int64, from 1.
    """
    s = t - 1
    _, beta = transition(schedule, s, t)
    log_posterior = on(x_0, _log_posterior_variance(schedule, t))
    # Nichol & Dhariwal 2021, eq. 15.
    log_variance = v * on(x_0, beta.log()) + (1 - v) * log_posterior
    # The means' shares of x_t cancel.
    error = posterior_mean(schedule, x_0 - guess, torch.zeros_like(x_0), t, s)
    ratio = log_variance - log_posterior
    divergence = (ratio + (-ratio).exp() + error**2 * (-log_variance).exp() - 1) / 2
    surprise = _surprise(x_0, guess, (log_variance / 2).exp(), levels)
    terms = torch.where(on(x_0, t) == 1, surprise, divergence)
    return terms.flatten(1).mean(1) / math.log(2)


def _log_posterior_variance(schedule: Schedule, t: Tensor) -> Tensor:
    """log β̃_t. β̃_1 is 0, so there β̃_2 stands for it, as in their released code."""
    t = t.clamp_min(2)
    (_, sigma_s), (_, sigma_t) = schedule(t - 1), schedule(t)
    _, beta = transition(schedule, t - 1, t)
    return (beta * (sigma_s / sigma_t) ** 2).log()


def _surprise(x_0: Tensor, mean: Tensor, deviation: Tensor, levels: int | None) -> Tensor:
    """-log p of values under N(mean, deviation²), or of the level around each (Ho et al. 2020, eq.
    13), the lowest and the highest of which have no end. In nats."""
    if levels is None:
        z = (x_0 - mean) / deviation
        return z**2 / 2 + deviation.log() + math.log(2 * math.pi) / 2
    half = 1 / (levels - 1)
    above: Tensor = torch.special.ndtr((x_0 + half - mean) / deviation)
    below: Tensor = torch.special.ndtr((x_0 - half - mean) / deviation)
    above, below = above.where(x_0 < 1 - half, 1), below.where(x_0 > half - 1, 0)
    return -(above - below).clamp_min(1e-12).log()
