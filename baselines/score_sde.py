"""Score-based generative modelling through SDEs (Song et al. 2021): VP, sub-VP and VE."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from baselines.diffusion import Diffusion
from baselines.networks import Dropout, Multipliers, denoising_network
from baselines.samplers import EulerMaruyama, HeunODE, PredictorCorrector, Sampler, integrate
from baselines.schedules import VE, VP, Schedule, SubVP
from genbench.errors import UsageError
from genbench.types import Condition, SampleSpec

SIGMA_MIN = 0.01
"""VE's least noise (Song et al. 2021, appendix C)."""
SNR = 0.16
"""Of the corrector (Song et al. 2021, for CIFAR-10)."""


def score_sde(
    spec: SampleSpec,
    *,
    sde: Literal["vp", "subvp", "ve"] = "vp",
    sigma_max: PositiveFloat | None = None,
    channels: PositiveInt = 16,
    multipliers: Multipliers = (1, 2),
    blocks: PositiveInt = 1,
    dropout: Dropout = 0.0,
    learning_rate: PositiveFloat = 3e-3,
) -> ScoreSde:
    """Score-based SDE in continuous time: a U-Net (an MLP for points), unconditional.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points. Labels are ignored.
        sde: Variance preserving (β from 0.1 to 20), sub-VP, or variance exploding.
        sigma_max: VE's largest noise. By default 2 √d for samples of d numbers, the longest
            distance in [-1, 1]^d (Song & Ermon 2020, technique 1, with the cube for the data);
            real-valued data of a wider range need theirs.
        channels: Width at full size; an MLP's over 8.
        multipliers: Of the channels, one a level; each level below the first halves the sides.
        blocks: Residual blocks a level, down and up.
        dropout: Inside the residual blocks.
        learning_rate: Of Adam at its peak; falls to 0 along half a cosine.

    Raises:
        UsageError: ``sigma_max`` without VE or not above 0.01, a side that cannot be halved so
            often, channels not a multiple of 4.
    """
    if sigma_max is None:
        sigma_max = 2 * math.sqrt(math.prod(spec.shape))
    elif sde != "ve":
        raise UsageError(f"sigma_max belongs to sde 've', not to {sde!r}")
    elif sigma_max <= SIGMA_MIN:
        raise UsageError(f"sigma_max must be above {SIGMA_MIN}, got {sigma_max}")
    schedules: dict[str, Schedule] = {"vp": VP(), "subvp": SubVP(), "ve": VE(SIGMA_MIN, sigma_max)}
    network = denoising_network(
        spec, channels=channels, multipliers=multipliers, blocks=blocks, dropout=dropout
    )
    return ScoreSde(spec, schedules[sde], network, learning_rate)


class ScoreSde(Diffusion):
    """A diffusion over 0 ≤ t ≤ 1."""

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        sampler: Literal["predictor-corrector", "euler-maruyama", "ode"] = "predictor-corrector",
        steps: PositiveInt = 1000,
        snr: PositiveFloat = SNR,
    ) -> Tensor:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``; the condition is ignored.

        Args:
            sampler: Reverse diffusion with Langevin corrections, Euler–Maruyama, or the
                probability-flow ODE by Heun's method.
            steps: Times visited. At the last the network returns E[x_0 | x_t], which leaves no
                noise; before, a step costs one network evaluation for Euler–Maruyama and two for
                the others: ``steps`` or 2 ``steps`` - 1 in all.
            snr: Of the corrector.

        Raises:
            UsageError: ``snr`` without the corrector.
        """
        if snr != SNR and sampler != "predictor-corrector":
            raise UsageError(f"snr belongs to sampler 'predictor-corrector', not to {sampler!r}")
        denoise = self.denoiser()
        samplers: dict[str, Sampler] = {
            "predictor-corrector": PredictorCorrector(denoise, self.schedule, snr),
            "euler-maruyama": EulerMaruyama(denoise, self.schedule),
            "ode": HeunODE(denoise, self.schedule),
        }
        times = time_grid(self.schedule, steps)
        _, sigma_1 = self.schedule(times[0])
        return denoise(integrate(samplers[sampler], sigma_1 * noise, times), times[-1])


def time_grid(schedule: Schedule, steps: int) -> Tensor:
    """``(steps,)`` times from 1 down to 1e-3, to 1e-5 for VE (Song et al. 2021, appendix C).

    Even in t for VE, whose log sigma_t is linear. Even in √t for VP and sub-VP, where the paper's
    even steps in t make their largest errors near 0: there sigma_t goes as √t, or as t.
    """
    exploding = isinstance(schedule, VE)
    end, power = (1e-5, 1) if exploding else (1e-3, 2)
    return torch.linspace(1, end ** (1 / power), steps, dtype=torch.float64) ** power
