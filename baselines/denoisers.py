"""A denoiser is E[x_0 | x_t]; ε, the score and the velocity are other views of it.

Each is taken from what the network predicts, not from another view (``Prediction.shares``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from baselines.conditioning import guided
from baselines.predictions import CLEAN, EPSILON, Prediction
from baselines.schedules import Schedule, derivatives, on

Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x_t, t)``: E[x_0 | x_t] of x_t ``(B, *shape)``; t ``()``, or ``(B,)`` one a sample."""

Network: TypeAlias = Callable[..., Tensor]
"""``network(x, time)`` or ``network(x, time, labels)`` of x ``(B, C, *space)`` or ``(B, D)``, time
``(B,)`` and labels ``(B,)`` int64, or what stands for texts in their place: F, of x's shape or of
more channels."""


@dataclass(frozen=True)
class NetworkDenoiser:
    """One network and every view of it."""

    network: Network
    schedule: Schedule
    prediction: Prediction = EPSILON
    labels: Tensor | None = None
    """``(B, …)``, one for each sample that is denoised: of a text, what stands for it."""
    guidance: float = 1.0
    """1: the denoiser of the labels as they are."""
    null: int = 0
    """The label that means "no label"; for guidance."""
    clip: bool = False
    """Hold x̂_0 in [-1, 1], as Ho et al. 2020 do in their released code."""

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        x_0, _ = self.with_rest(x_t, t)
        return x_0

    def with_rest(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """E[x_0 | x_t], and the network's channels beyond those of x_t."""
        output = self.predict(x_t, t)
        features = x_t.shape[1]
        x_0 = self.prediction.denoised(self.schedule, output[:, :features], x_t, t)
        return x_0.clamp(-1, 1) if self.clip else x_0, output[:, features:]

    def output(self, x_t: Tensor, t: Tensor) -> Tensor:
        """``predict``, without the channels beyond those of x_t."""
        return self.predict(x_t, t)[:, : x_t.shape[1]]

    def select(self, rows: Tensor) -> NetworkDenoiser:
        """The denoiser of the samples ``rows`` ``(A,)`` of the batch, int64."""
        if self.labels is None:
            return self
        return replace(self, labels=self.labels[rows.to(self.labels.device)])

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """F ``(B, …)`` of c_in x_t and c_noise, guided, in x_t's dtype: float32 under autocast."""
        if self.labels is None or self.guidance == 1:
            return self._predict(x_t, t, self.labels)
        return guided(self._predict, x_t, t, self.labels, self.null, self.guidance)

    def _predict(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        scale = on(x_t, self.prediction.c_in(*self.schedule(t)))
        label = self.schedule.noise_label(t)
        time = label.to(x_t.device, x_t.dtype, non_blocking=True).expand(len(x_t))
        inputs = (scale * x_t, time) if labels is None else (scale * x_t, time, labels)
        return self.network(*inputs).to(x_t.dtype)


def affine(denoise: Denoiser) -> tuple[Prediction, Denoiser]:
    """The prediction and the function of x_t and t that gives it. What is known only as a denoiser
    predicts x_0, and so does a network whose x_0 is clipped."""
    if isinstance(denoise, NetworkDenoiser) and not denoise.clip:
        return denoise.prediction, denoise.output
    return CLEAN, denoise


def mixed(
    denoise: Denoiser,
    schedule: Schedule,
    x_t: Tensor,
    t: Tensor,
    of_x_0: Tensor,
    of_epsilon: Tensor,
) -> Tensor:
    """``of_x_0`` E[x_0 | x_t] + ``of_epsilon`` E[ε | x_t] ``(B, *shape)`` by one evaluation; the
    coefficients are of t's shape. sigma_t must not be 0 if the prediction is x_0 (``affine``)."""
    prediction, network = affine(denoise)
    of_x_t, of_output = prediction.shares(schedule, t, of_x_0, of_epsilon)
    return on(x_t, of_x_t) * x_t + on(x_t, of_output) * network(x_t, t)


def epsilon(denoise: Denoiser, schedule: Schedule, x_t: Tensor, t: Tensor) -> Tensor:
    """E[ε | x_t] ``(B, *shape)``."""
    _, sigma_t = schedule(t)
    return mixed(denoise, schedule, x_t, t, torch.zeros_like(sigma_t), torch.ones_like(sigma_t))


def score(denoise: Denoiser, schedule: Schedule, x_t: Tensor, t: Tensor) -> Tensor:
    """∇ log p_t(x_t) = -E[ε | x_t] / sigma_t (Tweedie's formula; Vincent 2011)."""
    _, sigma_t = schedule(t)
    return mixed(denoise, schedule, x_t, t, torch.zeros_like(sigma_t), -1 / sigma_t)


def velocity(denoise: Denoiser, schedule: Schedule, x_t: Tensor, t: Tensor) -> Tensor:
    """v = alpha' E[x_0 | x_t] + sigma' E[ε | x_t]: dx/dt of the probability-flow ODE.

    What flow matching learns (Lipman et al. 2023, theorem 3, with the mean over x_0), and f x -
    g²/2 ∇ log p_t of Song et al. 2021, eq. 13.
    """
    return mixed(denoise, schedule, x_t, t, *derivatives(schedule, t))
