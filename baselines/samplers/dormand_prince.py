"""The probability-flow ODE to a tolerance: Dormand & Prince 1980, order 5 with an error of order 4.

Each sample has its own error and takes its own steps, so that it is what it would be alone, and
those that have arrived are not evaluated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from baselines.denoisers import Denoiser, velocity
from baselines.samplers.runge_kutta import Tableau, combine
from baselines.schedules import Schedule, on
from genbench.api.errors import GenbenchError

# Hairer, Nørsett & Wanner 1993, "Solving ordinary differential equations I", table 5.2 of section
# II.5. The seventh slope, at the new point, is the first of the next step.
DORMAND_PRINCE = Tableau(
    (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0),
    (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
"""Weights of order 5 less those of order 4, seven slopes."""

RowSlope: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``slope(y, t, rows)``: dy/dt of the samples ``rows`` of a batch, y ``(A, *shape)``, t and rows
``(A,)``, on the CPU."""


@runtime_checkable
class Selectable(Protocol):
    """A denoiser of one batch, such as one that holds the labels of its samples."""

    def select(self, rows: Tensor) -> Denoiser:
        """The denoiser of the samples ``rows`` ``(A,)`` int64, on the CPU."""
        ...


def select(denoise: Denoiser, rows: Tensor) -> Denoiser:
    return denoise.select(rows) if isinstance(denoise, Selectable) else denoise


@dataclass(frozen=True)
class DormandPrince:
    """dx/dt = v to a tolerance (Song et al. 2021, appendix D.4, who take 1e-5 for both).

    Between a sample's own steps ``path`` interpolates, so the sample at the last time does not
    depend on the other times asked for. The velocity must be finite at the last. Raises as
    ``Adaptive``.
    """

    denoise: Denoiser
    schedule: Schedule
    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 1000

    def path(self, x: Tensor, times: Tensor) -> Iterator[Tensor]:
        def slope(x_t: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            return velocity(select(self.denoise, rows), self.schedule, x_t, t)

        return Adaptive(slope, self.rtol, self.atol, self.max_steps).path(x, times)


@dataclass(frozen=True)
class Adaptive:
    """dy/dt = slope for any y ``(B, *shape)``, over times that rise or fall.

    A step is accepted where the root mean square over a sample of error/(atol + rtol |y|) is below
    1, and the next is 0.9 (that)^(-1/5) as long, within a fifth and ten times (Hairer et al. 1993,
    section II.4). A sample that no step of any length carries on, as when its slope is NaN, is NaN
    from there on.

    Raises:
        GenbenchError: A sample has not arrived after ``max_steps``, refused ones included.
    """

    slope: RowSlope
    rtol: float
    atol: float
    max_steps: int

    def path(self, y: Tensor, times: Tensor) -> Iterator[Tensor]:
        """y at ``times[1:]``, from y at ``times[0]``."""
        times = times.double()
        end = times[-1]
        sign = (end - times[0]).sign()
        t, y = times[0].repeat(len(y)), y.clone()
        k = self.slope(y, t, torch.arange(len(y))).clone()
        h = self._first_length(y, k, times)
        t_0, y_0, k_0 = t.clone(), y.clone(), k.clone()  # where each sample's last step began
        tries = torch.zeros(len(y), dtype=torch.long)
        refused = torch.zeros(len(y), dtype=torch.bool)

        for target in times[1:]:
            while len(rows := ((target - t) * sign > 0).nonzero()[:, 0]) > 0:
                if (tries[rows] == self.max_steps).any():
                    raise GenbenchError(
                        f"the ODE solver has not come to t = {float(end):g} in {self.max_steps} "
                        "steps: raise rtol and atol, or max_steps"
                    )
                there = rows.to(y.device)
                left = (end - t[rows]).abs()
                t_new = torch.where(h[rows] < left, t[rows] + sign * h[rows], end)
                y_new, k_new, error = self._step(y[there], k[there], t[rows], t_new, rows)
                good = error < 1
                growth = (0.9 * error**-0.2).clamp(0.2, 10)
                growth = torch.where(good & refused[rows], growth.clamp_max(1), growth)
                h[rows] = (t_new - t[rows]).abs() * growth
                refused[rows] = ~good
                tries[rows] += 1

                moved, kept = rows[good], good.to(y.device)
                into = there[kept]
                t_0[moved], y_0[into], k_0[into] = t[moved], y[into], k[into]
                t[moved], y[into], k[into] = t_new[good], y_new[kept], k_new[kept]

                lost = rows[~good & (t[rows] + sign * h[rows] == t[rows])]
                t[lost], y[lost.to(y.device)] = end, torch.nan
            yield _hermite(target, (t_0, y_0, k_0), (t, y, k))

    def _step(
        self, y: Tensor, k: Tensor, t: Tensor, t_new: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """y and its slope at ``t_new``, and the error in units of the tolerance: ``(A,)``, CPU."""
        h = t_new - t
        slopes = DORMAND_PRINCE.slopes(lambda y, t: self.slope(y, t, rows), y, t, h, k)
        y_new = y + on(y, h) * combine(DORMAND_PRINCE.weights, slopes)
        k_new = self.slope(y_new, t_new, rows)
        error = on(y, h) * combine(ERROR, [*slopes, k_new])
        size = _rms(error / (self.atol + self.rtol * y.abs().maximum(y_new.abs())))
        return y_new, k_new, size.nan_to_num(torch.inf)

    def _first_length(self, y: Tensor, k: Tensor, times: Tensor) -> Tensor:
        """Of a step ``(B,)``, from the slope and its change over a short one (Hairer et al. 1993,
        section II.4); next to nothing where they are not finite."""
        way = times[-1] - times[0]
        scale = self.atol + self.rtol * y.abs()
        d_0, d_1 = _rms(y / scale), _rms(k / scale)
        short = torch.where((d_0 < 1e-5) | (d_1 < 1e-5), 1e-6, 0.01 * d_0 / d_1)
        short = short.minimum(way.abs())
        h = way.sign() * short
        ahead = self.slope(y + on(y, h) * k, times[0] + h, torch.arange(len(y)))
        steepest = d_1.maximum(_rms((ahead - k) / scale) / short)
        least = (short * 1e-3).clamp_min(1e-6)
        h = torch.where(steepest <= 1e-15, least, (0.01 / steepest) ** 0.2)
        return h.minimum(100 * short).nan_to_num(0.0).clamp_min(1e-9 * float(way.abs()))


def _rms(y: Tensor) -> Tensor:
    return y.flatten(1).square().mean(1).sqrt().double().cpu()


Node: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Times ``(B,)``, samples and their slopes."""


def _hermite(t: Tensor, start: Node, stop: Node) -> Tensor:
    """The cubic through both ends of each sample's step, with their slopes (Hairer et al. 1993,
    section II.6); ``stop`` itself where t is there."""
    (t_0, y_0, k_0), (t_1, y_1, k_1) = start, stop
    h = on(y_1, t_1 - t_0)
    u = on(y_1, (t - t_0) / (t_1 - t_0))
    rise = u * u * (3 - 2 * u)
    bend = h * u * (u - 1) * ((u - 1) * k_0 + u * k_1)
    return (1 - rise) * y_0 + rise * y_1 + bend
