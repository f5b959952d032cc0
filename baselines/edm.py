"""EDM: elucidating the design space of diffusion models (Karras, Aittala, Aila & Laine 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from baselines.conditioning import ConditioningOptions, Guidance
from baselines.diffusion import ContinuousDiffusion, State, last_of, require_sampler, states
from baselines.latent import CodecOptions, LatentDiffusion
from baselines.networks import NetworkOptions, denoising_network
from baselines.networks.pretrained import Pretrained, load_pretrained, require_defaults
from baselines.optimizers import OptimizerConfig
from baselines.predictions import edm as edm_prediction
from baselines.samplers import DPMSolver2M, Sampler, SamplerName, Solver, StochasticHeun, choice
from baselines.schedules import NoiseLevels
from genbench.api import Condition, SampleSpec
from genbench.api.samplers import make_sampler


def edm(
    spec: SampleSpec,
    *,
    sigma_data: PositiveFloat = 0.5,
    pretrained: Pretrained | None = None,
    latent: CodecOptions = CodecOptions(),
    conditioning: ConditioningOptions = ConditioningOptions(),
    network: NetworkOptions = NetworkOptions(),
    optimizer: OptimizerConfig = OptimizerConfig(),
) -> Edm | LatentDiffusion:
    """EDM: preconditioned, trained at log-normal noise levels, sampled by Heun's method.

    The paper's loss weight, (σ² + σ_data²)/(σ σ_data)² of an error in x_0, is that of an error 1 in
    the network's own output.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points.
        sigma_data: The data's standard deviation.
        pretrained: A folder of published weights, as those of the paper; they decide the network,
            and are not trained.

    The other options are those of ``ddpm``.

    Raises:
        UsageError: As ``ddpm``.
    """

    def make(spec: SampleSpec) -> Edm:
        known = conditioning.of(spec)
        if pretrained is not None:
            require_defaults(network, known.text)
            net = load_pretrained(spec, pretrained, conditional=conditioning.conditional)
        else:
            net = denoising_network(
                spec,
                options=network,
                classes=known.classes,
                text=known.text,
                # The networks of pictures in the papers get c_noise as it is.
                time_scale=1000.0 if network.network in ("unet", "diffwave") else 1.0,
            )
        return Edm(
            spec,
            NoiseLevels(),
            net,
            optimizer,
            known,
            prediction=edm_prediction(sigma_data),
            pretrained=pretrained is not None,
        )

    return latent.model(spec, make)


class Edm(ContinuousDiffusion):
    """A diffusion over noise levels."""

    def path(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        sampler: Annotated[SamplerName, choice("heun", "dpm-solver++")] = "heun",
        steps: PositiveInt = 18,
        s_churn: NonNegativeFloat = 0.0,
        s_min: NonNegativeFloat = 0.0,
        s_max: PositiveFloat | None = None,
        s_noise: PositiveFloat = 1.0,
        guidance: Guidance = 1.0,
    ) -> Iterator[State]:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``.

        Args:
            sampler: Karras et al. 2022, algorithm 2, DPM-Solver++(2M), or a registered one.
            steps: From 80 to 0 by way of levels even in σ^(1/7) (eq. 5). Each costs two network
                evaluations, but the last, one: 2 ``steps`` - 1 in all; for DPM-Solver++ ``steps``.
            s_churn: How much noise is added and removed, over all steps; 0: it is deterministic.
            s_min: The least noise level at which noise is added.
            s_max: The largest; none by default.
            s_noise: The standard deviation of the noise that is added.
            guidance: By the label or the text; 1 for none. Any other value doubles the evaluations.

        Raises:
            UsageError: An option of another sampler, ``guidance`` of an unconditional model.
        """
        require_sampler(
            sampler,
            "heun",
            s_churn=s_churn > 0,
            s_min=s_min > 0,
            s_max=s_max is not None,
            s_noise=s_noise != 1,
        )
        denoise = self.denoiser(condition, guidance=guidance)
        method: Sampler | Solver
        if sampler == "heun":
            highest = math.inf if s_max is None else s_max
            method = StochasticHeun(denoise, self.schedule, steps, s_churn, s_min, highest, s_noise)
        elif sampler == "dpm-solver++":
            method = DPMSolver2M(denoise, self.schedule)
        else:
            method = make_sampler(sampler, denoise, self.schedule)
        levels = self.schedule.at(torch.linspace(1, 0, steps, dtype=torch.float64))
        times = torch.cat([levels, levels.new_zeros(1)])
        return states(method, times[0] * noise, times)

    sample = last_of(path)
