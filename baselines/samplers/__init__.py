"""Samplers: x_t at the start of a grid of times to x_s at its end.

Most are one stateless ``step(x_t, t, s, noise)``, from time t down to s < t; a ``Solver`` carries
something from step to step. All are given E[x_0 | x_t] and a schedule, take one grid of times for
the whole batch, and treat each sample by itself: norms and step sizes are per sample.
"""

from __future__ import annotations

from baselines.samplers.ancestral import (
    DDIM,
    Ancestral,
    LearnedAncestral,
    LearnedDenoiser,
    posterior_mean,
)
from baselines.samplers.dormand_prince import DormandPrince, Selectable
from baselines.samplers.dpm_solver import DPMSolver2M
from baselines.samplers.grid import integrate, path, strided_times
from baselines.samplers.heun import HeunODE, StochasticHeun
from baselines.samplers.registered import SamplerName, choice
from baselines.samplers.runge_kutta import RungeKutta
from baselines.samplers.sde import EulerMaruyama, Langevin, PredictorCorrector, ReverseDiffusion
from genbench.api.samplers import Noise, Sampler, Solver

__all__ = [
    "DDIM",
    "Ancestral",
    "DPMSolver2M",
    "DormandPrince",
    "EulerMaruyama",
    "HeunODE",
    "Langevin",
    "LearnedAncestral",
    "LearnedDenoiser",
    "Noise",
    "PredictorCorrector",
    "ReverseDiffusion",
    "RungeKutta",
    "Sampler",
    "SamplerName",
    "Selectable",
    "Solver",
    "StochasticHeun",
    "choice",
    "integrate",
    "path",
    "posterior_mean",
    "strided_times",
]
