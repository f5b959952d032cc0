"""A denoiser is E[x_0 | x_t]; ε and the score are other views of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

from baselines.labels import guided
from baselines.predictions import EPSILON, Prediction
from baselines.schedules import Schedule, on

Denoiser: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x_t, t)``: E[x_0 | x_t] of x_t ``(B, *shape)``; t ``()``, or ``(B,)`` one a sample."""

Network: TypeAlias = Callable[..., Tensor]
"""``network(x, time)`` or ``network(x, time, labels)`` of x ``(B, C, *space)`` or ``(B, D)``, time
``(B,)`` and labels ``(B,)`` int64: F, of x's shape or of more channels."""


@dataclass(frozen=True)
class NetworkDenoiser:
    """One network and every view of it."""

    network: Network
    schedule: Schedule
    prediction: Prediction = EPSILON
    labels: Tensor | None = None
    """``(B,)``, one for each sample that is denoised."""
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


def to_epsilon(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """ε = (x_t - alpha_t x_0) / sigma_t; sigma_t must not be 0."""
    alpha_t, sigma_t = schedule(t)
    return (x_t - on(x_t, alpha_t) * x_0) / on(x_t, sigma_t)


def to_score(schedule: Schedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """∇ log p_t(x_t) = -ε / sigma_t, with x_0 = E[x_0 | x_t] (Tweedie's formula; Vincent 2011)."""
    _, sigma_t = schedule(t)
    return -to_epsilon(schedule, x_0, x_t, t) / on(x_t, sigma_t)
