"""DPM-Solver++ (Lu et al. 2022): the probability-flow ODE, its linear part solved exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from baselines.denoisers import Denoiser
from baselines.schedules import Schedule


@dataclass(frozen=True)
class DPMSolver2M:
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2: second order, one evaluation a step.

    x̂_0 is taken for linear in λ = log(alpha/sigma), through its values here and at the time
    before. In the first step and in the last it stands for itself. The last leaps far in λ, to
    infinity where sigma is 0 and the step returns x̂_0: no line reaches there (their released code
    does likewise where steps are few).
    """

    denoise: Denoiser
    schedule: Schedule

    def path(self, x: Tensor, times: Tensor) -> Iterator[Tensor]:
        alphas, sigmas = self.schedule(times)
        lambdas = alphas.log() - sigmas.log()
        steps = len(times) - 1
        before = None
        for i, (t, _) in enumerate(pairwise(times)):
            x_0 = ahead = self.denoise(x, t)
            if before is not None and i + 1 < steps:
                # 1/(2 r_i) of the paper; 0 after a step from alpha = 0, where λ is -∞.
                share = (lambdas[i + 1] - lambdas[i]) / (lambdas[i] - lambdas[i - 1]) / 2
                ahead = x_0 + share * (x_0 - before)
            shrunk = sigmas[i + 1] / sigmas[i]
            x = shrunk * x + (alphas[i + 1] - shrunk * alphas[i]) * ahead
            before = x_0
            yield x
