"""What a network F is asked to predict, and the denoiser that its answer is.

Every target in use mixes the clean sample and the noise, F* = a x_0 + b ε, with coefficients that
follow from (alpha_t, sigma_t):

============  ===================  ================  =============================
prediction    a                    b                 source
============  ===================  ================  =============================
``EPSILON``   0                    1                 Ho et al. 2020, eq. 14
``CLEAN``     1                    0                 Salimans & Ho 2022, section 4
``V``         -sigma_t             alpha_t           Salimans & Ho 2022, section 4
``velocity``  -1                   1 - sigma_min     Lipman et al. 2023, eq. 23
``edm``       sigma_t / n          -alpha_t d² / n   Karras et al. 2022, table 1
============  ===================  ================  =============================

with d = sigma_data and n = d √(sigma_t² + alpha_t² d²). As x_t = alpha_t x_0 + sigma_t ε, these are
two equations for x_0 and ε. Solved for x_0 they are Karras et al. 2022's eq. 7,
D(x_t) = c_skip x_t + c_out F(c_in x_t, c_noise), with

    c_skip = b / (b alpha_t - a sigma_t)    c_out = -sigma_t / (b alpha_t - a sigma_t)

and F* = (x_0 - c_skip x_t) / c_out.

All that samplers ask for, x_0, ε, the score and dx_t/dt, is p x_0 + q ε with coefficients of t. It
is therefore affine in x_t and F, and ``Prediction.shares`` gives its coefficients, in float64. A
detour by x_0 would divide rounding errors by sigma_t. A velocity, for one, is F itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from baselines.schedules import Schedule, on

Coefficients: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(alpha_t, sigma_t) → (a, b), all of one shape."""


@dataclass(frozen=True)
class Prediction:
    """F* = a x_0 + b ε, asked of a network that sees c_in x_t."""

    coefficients: Coefficients
    sigma_data: float = 1.0
    """The data's standard deviation, as far as the network is concerned."""
    scale_input: bool = True
    """Whether the network sees x_t at unit variance, not as it is."""

    def c_in(self, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """Scales x_t to unit variance (Karras et al. 2022, table 1, where alpha_t is 1); or 1."""
        if not self.scale_input:
            return torch.ones_like(sigma_t)
        return ((self.sigma_data * alpha_t) ** 2 + sigma_t**2).rsqrt()

    def c_out(self, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """By how much an error in F is an error in x_0."""
        a, b = self.coefficients(alpha_t, sigma_t)
        return -sigma_t / (b * alpha_t - a * sigma_t)

    def shares(
        self, schedule: Schedule, t: Tensor, of_x_0: Tensor, of_epsilon: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of x_t and of F in ``of_x_0`` x_0 + ``of_epsilon`` ε: all of t's shape."""
        alpha_t, sigma_t = schedule(t)
        a, b = self.coefficients(alpha_t, sigma_t)
        whole = b * alpha_t - a * sigma_t
        of_x_t = (b * of_x_0 - a * of_epsilon) / whole
        return of_x_t, (alpha_t * of_epsilon - sigma_t * of_x_0) / whole

    def target(self, schedule: Schedule, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """F* of x_0 and ε ``(B, *shape)`` at t, ``()`` or ``(B,)``."""
        a, b = self.coefficients(*schedule(t))
        return on(x_0, a) * x_0 + on(x_0, b) * noise

    def denoised(self, schedule: Schedule, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0 of x_t and a network's ``output`` F, ``(B, *shape)``, at t, ``()`` or ``(B,)``."""
        alpha_t, sigma_t = schedule(t)
        a, b = self.coefficients(alpha_t, sigma_t)
        # Over the common denominator: for ε this is eq. 15 of Ho et al. 2020 to the last bit.
        mixed = on(x_t, b) * x_t - on(x_t, sigma_t) * output
        return mixed / on(x_t, b * alpha_t - a * sigma_t)


EPSILON = Prediction(lambda alpha_t, sigma_t: (torch.zeros_like(alpha_t), torch.ones_like(alpha_t)))
CLEAN = Prediction(lambda alpha_t, sigma_t: (torch.ones_like(alpha_t), torch.zeros_like(alpha_t)))
V = Prediction(lambda alpha_t, sigma_t: (-sigma_t, alpha_t))


def velocity(sigma_min: float) -> Prediction:
    """dx_t/dt = d alpha/dt x_0 + d sigma/dt ε of ``OptimalTransport`` paths."""
    return Prediction(
        lambda alpha_t, sigma_t: (
            torch.full_like(alpha_t, -1),
            torch.full_like(alpha_t, 1 - sigma_min),
        )
    )


def edm(sigma_data: float) -> Prediction:
    """Network inputs and targets of unit variance, errors amplified as little as possible.

    Up to its sign v-prediction, for data of standard deviation ``sigma_data``.
    """

    def coefficients(alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        norm = sigma_data * (sigma_t**2 + (alpha_t * sigma_data) ** 2).sqrt()
        return sigma_t / norm, -alpha_t * sigma_data**2 / norm

    return Prediction(coefficients, sigma_data)


Weighting: TypeAlias = Callable[[Prediction, Schedule, Tensor], Tensor]
"""Weights ``(B,)`` of |F* - F|² at times ``(B,)``."""


def half_sum(count: int) -> Weighting:
    """count/2 at every time: half the sum of the squared errors of a sample's ``count`` numbers
    stands in the place of their mean, as in Song et al. 2021's code for VE."""
    return lambda prediction, schedule, t: torch.full_like(t, count / 2)


GAMMA = 5.0
"""Of min-SNR weighting, the paper's default (Hang et al. 2023)."""


def min_snr(prediction: Prediction, schedule: Schedule, t: Tensor) -> Tensor:
    """min(SNR, γ) of |x_0 - D|², with SNR = alpha_t²/sigma_t² (Hang et al. 2023, section 3.4).

    For ε that is min(SNR, γ)/SNR of |ε - ε̂|²; for v, min(SNR, γ)/(SNR + 1).
    """
    alpha_t, sigma_t = schedule(t)
    snr = (alpha_t / sigma_t) ** 2
    return snr.clamp_max(GAMMA) * prediction.c_out(alpha_t, sigma_t) ** 2
