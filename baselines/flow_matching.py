"""Flow matching along conditional optimal transport paths (Lipman, Chen, Ben-Hamu et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from baselines.conditioning import ConditioningOptions, Guidance
from baselines.diffusion import ContinuousDiffusion, State, last_of, require_sampler, states
from baselines.latent import CodecOptions, LatentDiffusion
from baselines.networks import NetworkOptions, denoising_network
from baselines.optimizers import OptimizerConfig
from baselines.predictions import velocity
from baselines.samplers import (
    DormandPrince,
    DPMSolver2M,
    RungeKutta,
    Sampler,
    SamplerName,
    Solver,
    choice,
)
from baselines.schedules import OptimalTransport
from genbench.api import Condition, SampleSpec
from genbench.api.samplers import make_sampler

TOLERANCE = 1e-5
"""Of the adaptive solver (Lipman et al. 2023, section 6)."""


def flow_matching(
    spec: SampleSpec,
    *,
    scale_input: bool = True,
    latent: CodecOptions = CodecOptions(),
    conditioning: ConditioningOptions = ConditioningOptions(),
    network: NetworkOptions = NetworkOptions(),
    optimizer: OptimizerConfig = OptimizerConfig(),
) -> FlowMatching | LatentDiffusion:
    """Flow matching: a network that predicts the velocity on straight paths from noise to data.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points.
        scale_input: Whether the network sees x_t at unit variance; not in the authors' code.

    The other options are those of ``ddpm``.

    Raises:
        UsageError: As ``ddpm``.
    """

    def make(spec: SampleSpec) -> FlowMatching:
        known = conditioning.of(spec)
        schedule = OptimalTransport()
        return FlowMatching(
            spec,
            schedule,
            denoising_network(spec, options=network, classes=known.classes, text=known.text),
            optimizer,
            known,
            prediction=replace(velocity(schedule.sigma_min), scale_input=scale_input),
        )

    return latent.model(spec, make)


class FlowMatching(ContinuousDiffusion):
    """A flow from noise, t = 1, to data, t = 0."""

    def path(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        sampler: Annotated[
            SamplerName, choice("euler", "midpoint", "heun", "rk45", "dpm-solver++")
        ] = "heun",
        steps: PositiveInt = 50,
        tolerance: PositiveFloat = TOLERANCE,
        guidance: Guidance = 1.0,
    ) -> Iterator[State]:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``.

        Args:
            sampler: Of the ODE dx/dt = v: Euler's method, the midpoint rule, Heun's method, Dormand
                & Prince's with adaptive steps; DPM-Solver++(2M); or a registered one.
            steps: Of equal length. Each costs a network evaluation with ``euler`` and
                ``dpm-solver++``, two with ``midpoint`` and ``heun``. The adaptive solver chooses
                its own, and only its trajectory is shown at these.
            tolerance: Absolute and relative, of the adaptive solver.
            guidance: By the label or the text; 1 for none. Any other value doubles the evaluations.

        Raises:
            UsageError: An option of another sampler, ``guidance`` of an unconditional model.
        """
        require_sampler(sampler, "rk45", tolerance=tolerance != TOLERANCE)
        denoise, schedule = self.denoiser(condition, guidance=guidance), self.schedule
        own: dict[str, Sampler | Solver] = {
            "euler": RungeKutta(denoise, schedule, "euler"),
            "midpoint": RungeKutta(denoise, schedule, "midpoint"),
            "heun": RungeKutta(denoise, schedule, "heun"),
            "rk45": DormandPrince(denoise, schedule, tolerance, tolerance),
            "dpm-solver++": DPMSolver2M(denoise, schedule),
        }
        method = own.get(sampler) if isinstance(sampler, str) else None
        method = method or make_sampler(sampler, denoise, schedule)
        return states(method, noise, torch.linspace(1, 0, steps + 1, dtype=torch.float64))

    sample = last_of(path)
