"""Samplers in float32 against the same ones in float64, of a field that is known in closed form:
between what a network predicts and what a solver asks for, no digits are lost, down to t = 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mixtures import CONTINUOUS, f64, normal
from torch import Tensor

from baselines.denoisers import Denoiser, NetworkDenoiser
from baselines.likelihood import log_likelihood
from baselines.predictions import CLEAN, EPSILON, Prediction, V, edm
from baselines.predictions import velocity as velocity_prediction
from baselines.samplers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver2M,
    EulerMaruyama,
    HeunODE,
    PredictorCorrector,
    ReverseDiffusion,
    RungeKutta,
    Sampler,
    Solver,
    integrate,
)
from baselines.schedules import NoiseLevels, OptimalTransport, Schedule

FLOW = OptimalTransport()
SCHEDULES: dict[str, Schedule] = CONTINUOUS | {"ot": FLOW, "edm": NoiseLevels()}
PREDICTIONS = {
    "epsilon": EPSILON,
    "x0": CLEAN,
    "v": V,
    "velocity": velocity_prediction(FLOW.sigma_min),
    "edm": edm(0.5),
}
PAIRS = [
    (name, on)
    for name in PREDICTIONS
    for on in SCHEDULES
    # A velocity is that of straight paths; elsewhere it is no target.
    if name != "velocity" or on == "ot"
]
SOLVERS: dict[str, Callable[[Denoiser, Schedule], Sampler | Solver]] = {
    "ddim": DDIM,
    "ddim, η 1": lambda denoise, schedule: DDIM(denoise, schedule, 1.0),
    "ancestral": Ancestral,
    "heun": HeunODE,
    "dpm-solver++": DPMSolver2M,
    "euler in t": lambda denoise, schedule: RungeKutta(denoise, schedule, "euler"),
    "midpoint in t": lambda denoise, schedule: RungeKutta(denoise, schedule, "midpoint"),
    "heun in t": lambda denoise, schedule: RungeKutta(denoise, schedule, "heun"),
    "euler-maruyama": EulerMaruyama,
    "reverse diffusion": ReverseDiffusion,
    "predictor-corrector": PredictorCorrector,
}


class Field:
    """The exact network for equal parts of N(0.4, 0.5²) and N(-0.4, 0.5²) in each dimension, in
    float64, its answer in the dtype of its input; it counts the rows that it is given."""

    def __init__(self, prediction: Prediction, schedule: Schedule) -> None:
        self.prediction, self.schedule, self.rows = prediction, schedule, 0

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        self.rows += len(x)
        label = time.double()
        t = (4 * label).exp() if isinstance(self.schedule, NoiseLevels) else label
        alpha, sigma = (c[:, None] for c in self.schedule(t))
        x_t = x.double() / self.prediction.c_in(alpha, sigma)
        variance = (0.5 * alpha) ** 2 + sigma**2
        middle = 0.4 * (0.4 * alpha * x_t / variance).tanh()
        off = (x_t - alpha * middle) / variance
        # Neither is a difference that is divided by sigma, which may be 0.
        clean, noise = middle + 0.25 * alpha * off, sigma * off
        a, b = self.prediction.coefficients(alpha, sigma)
        return (a * clean + b * noise).to(x.dtype)

    def denoiser(self) -> NetworkDenoiser:
        return NetworkDenoiser(self, self.schedule, self.prediction)


def field(prediction: str, schedule: str) -> Field:
    return Field(PREDICTIONS[prediction], SCHEDULES[schedule])


def start(schedule: Schedule, count: int = 4) -> tuple[Tensor, Tensor]:
    """A time, a little before that at which straight paths hold no data, and x there."""
    t = 0.99 * f64(schedule.t_max)[0]
    alpha, sigma = schedule(t)
    return t, alpha * 0.4 + (alpha**2 + sigma**2).sqrt() * normal(count, 2)


def ends(run: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """In float32, and in float64."""
    return run(x.float()).double(), run(x.float().double())


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(("prediction", "schedule"), PAIRS)
def test_every_solver_ends_where_it_does_in_float64(
    prediction: str, schedule: str, name: str
) -> None:
    paths = SCHEDULES[schedule]
    t, x = start(paths)
    times = t * torch.linspace(1, 0, 9, dtype=torch.float64) ** 2

    def run(x: Tensor) -> Tensor:
        noises = iter(normal(len(times) * 2, *x.shape))
        solver = SOLVERS[name](field(prediction, schedule).denoiser(), paths)
        return integrate(solver, x, times, lambda x: next(noises).to(x))

    single, double = ends(run, x)
    assert double.isfinite().all()
    # Where straight paths begin x/alpha is large, and Heun's first step over sigma/alpha long.
    atol = 1e-4 if prediction == "x0" or name == "heun" else 2e-5
    torch.testing.assert_close(single, double, rtol=2e-6, atol=atol)


TOLERANCE = 1e-6
"""Near which the rounding of a network's answer alone, whoever asks, costs a step now and then."""

ADAPTIVE = [
    (prediction, on)
    for prediction, on in PAIRS
    # Of E[x_0 | x_t] in float32 the velocity is 1/sigma_t times as coarse, whoever divides.
    if prediction != "x0"
]


@pytest.mark.parametrize(("prediction", "schedule"), ADAPTIVE)
def test_the_adaptive_solver_needs_no_more_steps_than_in_float64(
    prediction: str, schedule: str
) -> None:
    """To t = 0; where its velocity is infinite, to the least time at which a network is trained."""
    paths = SCHEDULES[schedule]
    t, x = start(paths, 16)
    end = paths.t_min if schedule in ("vp", "subvp") else 0.0
    times = torch.stack([t, f64(end)[0]])
    rows = []

    def run(x: Tensor) -> Tensor:
        asked = field(prediction, schedule)
        result = integrate(DormandPrince(asked.denoiser(), paths, TOLERANCE, TOLERANCE), x, times)
        rows.append(asked.rows / len(x))
        return result

    single, double = ends(run, x)
    torch.testing.assert_close(single, double, rtol=0, atol=30 * TOLERANCE)
    assert rows[0] < 1.25 * rows[1]


@pytest.mark.parametrize(
    ("prediction", "schedule"),
    # Where straight paths begin, nothing of the data is left, and ε says nothing about x_0.
    [pair for pair in ADAPTIVE if pair != ("epsilon", "ot")],
)
def test_a_likelihood_needs_no_more_steps_than_in_float64(prediction: str, schedule: str) -> None:
    paths = SCHEDULES[schedule]
    end = 0.0 if schedule in ("ot", "ve") else paths.t_min
    how: dict[str, Any] = {"end": end, "trace": "exact", "rtol": TOLERANCE, "atol": TOLERANCE}
    rows = []

    def run(x: Tensor) -> Tensor:
        asked = field(prediction, schedule)
        result = log_likelihood(asked.denoiser(), paths, x, **how)
        rows.append(asked.rows / len(x))
        return result

    single, double = ends(run, 0.4 + 0.5 * normal(16, 2))
    torch.testing.assert_close(single, double, rtol=0, atol=100 * TOLERANCE)
    assert rows[0] < 1.25 * rows[1]
