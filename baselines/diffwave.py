"""DiffWave: a diffusion model of waveforms (Kong, Ping, Huang, Zhao & Catanzaro 2021).

The published configuration for one second at 16 kHz, of unconditional and of class-conditional
generation, is ``timesteps = 200, last_beta = 0.02, channels = 256, layers = 36, frame = 1,
learning_rate = 2e-4, decay = "none"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveInt

from baselines.conditioning import ConditioningOptions
from baselines.ddpm import Ddpm
from baselines.networks.diffwave import DiffWave
from baselines.optimizers import OptimizerConfig
from baselines.schedules import RangeBetas
from genbench.api import SampleSpec
from genbench.api.errors import UsageError


@dataclass(frozen=True)
class DiffWaveOptions:
    """Options of the network of ``diffwave``."""

    channels: PositiveInt = 48
    """Of every residual layer."""
    layers: PositiveInt = 12
    """Residual layers. Their dilations are 1, 2, 4, …, and again from 1 where the next would reach
    past a quarter of the length."""
    frame: PositiveInt = 8
    """Samples that a layer sees as one position."""


def diffwave(
    spec: SampleSpec,
    *,
    timesteps: PositiveInt = 50,
    last_beta: Annotated[float, Field(gt=1e-4, lt=1)] = 0.05,
    conditioning: ConditioningOptions = ConditioningOptions(),
    network: DiffWaveOptions = DiffWaveOptions(),
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-3),
) -> Ddpm:
    """DiffWave: a DDPM over waveforms, whose network of dilated convolutions predicts the noise.

    It is sampled as ``ddpm`` is.

    Args:
        spec: Sounds of any number of channels, ``(C, T)``.
        timesteps: Of the schedule.
        last_beta: β at the last of them; it rises in a line from 1e-4.
        conditioning: Whether it is conditioned on the data's labels; see ``ConditioningOptions``.
        network: Its size.
        optimizer: See ``OptimizerConfig``.

    Raises:
        UsageError: Samples of other than one side, a length that is no multiple of the frame,
            ``conditional`` without labels.
    """
    known = conditioning.of(spec)
    if known.text is not None:
        raise UsageError("diffwave reads no texts")
    net = DiffWave(
        spec.shape,
        frame=network.frame,
        width=network.channels,
        depth=network.layers,
        classes=known.classes,
    )
    return Ddpm(spec, RangeBetas(timesteps, last_beta), net, optimizer, known)
