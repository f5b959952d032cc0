"""DDPM: denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from baselines.diffusion import Diffusion
from baselines.networks import Dropout, Multipliers, denoising_network
from baselines.samplers import DDIM, Ancestral, Sampler, integrate, strided_times
from baselines.schedules import LinearBetas
from genbench.errors import UsageError
from genbench.types import Condition, SampleSpec


def ddpm(
    spec: SampleSpec,
    *,
    timesteps: Annotated[int, Field(ge=21)] = 1000,
    channels: PositiveInt = 16,
    multipliers: Multipliers = (1, 2),
    blocks: PositiveInt = 1,
    dropout: Dropout = 0.0,
    learning_rate: PositiveFloat = 3e-3,
) -> Ddpm:
    """DDPM: a U-Net (an MLP for points) that predicts the noise, unconditional.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points. Labels are ignored.
        timesteps: Of the linear β schedule, which is rescaled to end in as much noise.
        channels: Width at full size; an MLP's over 8.
        multipliers: Of the channels, one a level; each level below the first halves the sides.
        blocks: Residual blocks a level, down and up.
        dropout: Inside the residual blocks.
        learning_rate: Of Adam at its peak; falls to 0 along half a cosine.

    Raises:
        UsageError: A side that cannot be halved so often, channels not a multiple of 4.
    """
    network = denoising_network(
        spec, channels=channels, multipliers=multipliers, blocks=blocks, dropout=dropout
    )
    return Ddpm(spec, LinearBetas(timesteps), network, learning_rate)


class Ddpm(Diffusion):
    """A diffusion over integer timesteps."""

    schedule: LinearBetas

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        condition: Condition,
        *,
        sampler: Literal["ancestral", "ddim"] = "ancestral",
        steps: PositiveInt | None = None,
        spacing: Literal["linear", "quadratic"] = "quadratic",
        eta: Annotated[float, Field(ge=0, le=1)] = 0.0,
        clip_denoised: bool = False,
    ) -> Tensor:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``; the condition is ignored.

        Args:
            sampler: The posterior of Ho et al. 2020, or DDIM.
            steps: Timesteps visited, each of which costs a network evaluation; all by default.
            spacing: Of fewer steps than there are timesteps (Song, Meng & Ermon 2021, appendix
                D.2, who take the quadratic one for CIFAR-10).
            eta: The share of DDPM's noise in DDIM.
            clip_denoised: Hold each E[x_0 | x_t] in [-1, 1], as the released code of Ho et al.
                does. Per value, so per sample.

        Raises:
            UsageError: More steps than timesteps, ``eta`` without DDIM, clipping of real values.
        """
        timesteps = self.schedule.timesteps
        if steps is not None and steps > timesteps:
            raise UsageError(
                f"steps must be at most the model's {timesteps} timesteps, got {steps}"
            )
        if eta and sampler != "ddim":
            raise UsageError(f"eta belongs to sampler 'ddim', not to {sampler!r}")
        if clip_denoised and self.spec.levels is None:
            raise UsageError("clip_denoised needs data in [-1, 1]; these are real-valued")

        denoise = self.denoiser(clip=clip_denoised)
        method: Sampler = (
            DDIM(denoise, self.schedule, eta)
            if sampler == "ddim"
            else Ancestral(denoise, self.schedule)
        )
        return integrate(method, noise, strided_times(timesteps, steps or timesteps, spacing))
