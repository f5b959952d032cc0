"""The probability-flow ODE over a schedule's own time, dx/dt = v, by explicit Runge–Kutta methods.

Where ``heun`` steps in sigma/alpha. A method of s stages is its tableau (Hairer, Nørsett & Wanner
1993, "Solving ordinary differential equations I", section II.1): k_i = v(x + h Σ_j a_ij k_j,
t + c_i h) and x + h Σ_i b_i k_i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from baselines.denoisers import Denoiser, velocity
from baselines.schedules import Schedule, on
from genbench.api.samplers import Noise

Slope: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``slope(y, t)``: dy/dt of y ``(B, *shape)``; t ``()``, or ``(B,)`` one a sample."""


@dataclass(frozen=True)
class Tableau:
    """Of the stages after the first, which is at t itself."""

    nodes: tuple[float, ...]
    """c_2, c_3, …"""
    rows: tuple[tuple[float, ...], ...]
    """a_2, a_3, …, each of one number more than the last."""
    weights: tuple[float, ...]
    """b_1, b_2, …"""

    def slopes(self, slope: Slope, y: Tensor, t: Tensor, h: Tensor, first: Tensor) -> list[Tensor]:
        """k_1, k_2, … of a step h from t, both ``()`` or ``(B,)``; ``first`` is k_1."""
        slopes = [first]
        for node, row in zip(self.nodes, self.rows, strict=True):
            slopes.append(slope(y + on(y, h) * combine(row, slopes), t + node * h))
        return slopes


def combine(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """Σ_i w_i k_i."""
    total = weights[0] * slopes[0]
    for weight, k in zip(weights[1:], slopes[1:], strict=True):
        total = total.add(k, alpha=weight)
    return total


EULER = Tableau((), (), (1.0,))
MIDPOINT = Tableau((0.5,), ((0.5,),), (0.0, 1.0))
HEUN = Tableau((1.0,), ((1.0,),), (0.5, 0.5))


@dataclass(frozen=True)
class RungeKutta:
    """dx/dt = v (``velocity``) by Euler's method, the explicit midpoint rule or Heun's method, of
    order 1, 2, 2, with as many evaluations.

    Heun's step to sigma_s = 0, where v is not defined by a denoiser, is Euler's.
    """

    denoise: Denoiser
    schedule: Schedule
    method: Literal["euler", "midpoint", "heun"] = "heun"

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> Tensor:
        tableau = {"euler": EULER, "midpoint": MIDPOINT, "heun": HEUN}[self.method]
        _, sigma_s = self.schedule(s)
        if sigma_s == 0 and 1.0 in tableau.nodes:
            tableau = EULER

        def slope(x: Tensor, time: Tensor) -> Tensor:
            return velocity(self.denoise, self.schedule, x, time)

        slopes = tableau.slopes(slope, x_t, t, s - t, slope(x_t, t))
        return x_t + (s - t) * combine(tableau.weights, slopes)
