"""Score-based generative modelling through SDEs (Song et al. 2021): VP, sub-VP and VE."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from baselines.conditioning import ConditioningOptions, Guidance
from baselines.denoisers import Denoiser
from baselines.diffusion import ContinuousDiffusion, State, last_of, require_sampler, states
from baselines.networks import NetworkOptions, denoising_network
from baselines.optimizers import OptimizerConfig
from baselines.predictions import EPSILON, half_sum
from baselines.samplers import (
    Ancestral,
    DormandPrince,
    DPMSolver2M,
    EulerMaruyama,
    HeunODE,
    PredictorCorrector,
    ReverseDiffusion,
    Sampler,
    SamplerName,
    Solver,
    choice,
)
from baselines.schedules import VE, VP, Schedule, SubVP
from genbench.api import Condition, SampleSpec
from genbench.api.errors import UsageError
from genbench.api.samplers import make_sampler

SIGMA_MIN = 0.01
"""VE's least noise (Song et al. 2021, appendix C)."""
SNR = 0.16
"""Of the corrector (Song et al. 2021, for CIFAR-10)."""
TOLERANCE = 1e-5
"""Of the adaptive solver (Song et al. 2021, appendix D.4)."""


def score_sde(
    spec: SampleSpec,
    *,
    sde: Literal["vp", "subvp", "ve"] = "vp",
    sigma_max: PositiveFloat | None = None,
    loss: Literal["mean", "sum"] = "mean",
    scale_input: bool = True,
    conditioning: ConditioningOptions = ConditioningOptions(),
    network: NetworkOptions = NetworkOptions(),
    optimizer: OptimizerConfig = OptimizerConfig(),
) -> ScoreSde:
    """Score-based SDE in continuous time: a U-Net (an MLP for points) that predicts the noise.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points.
        sde: Variance preserving (β from 0.1 to 20), sub-VP, or variance exploding.
        sigma_max: VE's largest noise. By default 2 √d for samples of d numbers, the longest
            distance in [-1, 1]^d (Song & Ermon 2020, technique 1, with the cube for the data);
            real-valued data of a wider range need theirs.
        loss: Of a sample: the mean of its numbers' squared errors, or half their sum, as in the
            authors' code for VE, where the clip of gradients to norm 1 then acts at every step.
        scale_input: Whether the network sees x_t at unit variance; not in the authors' code.

    The other options are those of ``ddpm``.

    Raises:
        UsageError: ``sigma_max`` without VE or not above 0.01, and as ``ddpm``.
    """
    if sigma_max is None:
        sigma_max = 2 * math.sqrt(math.prod(spec.shape))
    elif sde != "ve":
        raise UsageError(f"sigma_max belongs to sde 've', not to {sde!r}")
    elif sigma_max <= SIGMA_MIN:
        raise UsageError(f"sigma_max must be above {SIGMA_MIN}, got {sigma_max}")
    ve = VE(SIGMA_MIN, sigma_max, log_label=network.network == "ncsnpp")
    schedules: dict[str, Schedule] = {"vp": VP(), "subvp": SubVP(), "ve": ve}
    known = conditioning.of(spec)
    return ScoreSde(
        spec,
        schedules[sde],
        denoising_network(spec, options=network, classes=known.classes, text=known.text),
        optimizer,
        known,
        prediction=replace(EPSILON, scale_input=scale_input),
        weighting=half_sum(math.prod(spec.shape)) if loss == "sum" else None,
    )


class ScoreSde(ContinuousDiffusion):
    """A diffusion over 0 ≤ t ≤ 1."""

    def path(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        sampler: Annotated[
            SamplerName,
            choice("predictor-corrector", "euler-maruyama", "ode", "rk45", "dpm-solver++"),
        ] = "predictor-corrector",
        steps: PositiveInt = 1000,
        predictor: Literal["reverse-diffusion", "ancestral"] = "reverse-diffusion",
        corrector: Literal["langevin", "none"] = "langevin",
        snr: PositiveFloat = SNR,
        tolerance: PositiveFloat = TOLERANCE,
        guidance: Guidance = 1.0,
    ) -> Iterator[State]:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``.

        Args:
            sampler: Predictor–corrector, Euler–Maruyama, the probability-flow ODE by Heun's method
                or by one of adaptive steps (Dormand & Prince), DPM-Solver++(2M), or a registered
                one.
            steps: Times visited. At the last the network returns E[x_0 | x_t], which leaves no
                noise; before, a step costs two network evaluations for ``ode`` and for a predictor
                with its corrector, one for the others: 2 ``steps`` - 1 or ``steps`` in all. The
                adaptive solver chooses its own, and only its trajectory is shown at these.
            predictor: Song et al. 2021, eq. 46, or that of DDPM, for VP with its β for a variance
                (eq. 4), else with the posterior's (eq. 47).
            corrector: One step of Langevin dynamics before each of the predictor's, or none.
            snr: Of the corrector.
            tolerance: Absolute and relative, of the adaptive solver.
            guidance: By the label or the text; 1 for none. Any other value doubles the evaluations.

        Raises:
            UsageError: An option of another sampler, ``guidance`` of an unconditional model.
        """
        require_sampler(
            sampler,
            "predictor-corrector",
            predictor=predictor != "reverse-diffusion",
            corrector=corrector != "langevin",
            snr=snr != SNR,
        )
        require_sampler(sampler, "rk45", tolerance=tolerance != TOLERANCE)
        if corrector == "none" and snr != SNR:
            raise UsageError("snr belongs to corrector 'langevin', not to 'none'")
        denoise, schedule = self.denoiser(condition, guidance=guidance), self.schedule
        predict: Callable[[Denoiser, Schedule], Sampler] = ReverseDiffusion
        if predictor == "ancestral":
            variance: Literal["posterior", "beta"] = "beta" if type(schedule) is VP else "posterior"
            predict = partial(Ancestral, variance=variance)
        samplers: dict[str, Sampler | Solver] = {
            "predictor-corrector": PredictorCorrector(denoise, schedule, snr, predict)
            if corrector == "langevin"
            else predict(denoise, schedule),
            "euler-maruyama": EulerMaruyama(denoise, schedule),
            "ode": HeunODE(denoise, schedule),
            "rk45": DormandPrince(denoise, schedule, tolerance, tolerance),
            "dpm-solver++": DPMSolver2M(denoise, schedule),
        }
        times = time_grid(schedule, steps)
        _, sigma_1 = schedule(times[0])
        x = sigma_1 * noise
        method = samplers.get(sampler) if isinstance(sampler, str) else None
        for state in states(method or make_sampler(sampler, denoise, schedule), x, times):
            x, _ = state
            yield state
        yield denoise(x, times[-1]), None

    sample = last_of(path)


def time_grid(schedule: Schedule, steps: int) -> Tensor:
    """``(steps,)`` times from 1 down to 1e-3, to 1e-5 for VE (Song et al. 2021, appendix C).

    Even in t for VE, whose log sigma_t is linear. Even in √t for VP and sub-VP, where the paper's
    even steps in t make their largest errors near 0: there sigma_t goes as √t, or as t.
    """
    exploding = isinstance(schedule, VE)
    end, power = (1e-5, 1) if exploding else (1e-3, 2)
    return torch.linspace(1, end ** (1 / power), steps, dtype=torch.float64) ** power
