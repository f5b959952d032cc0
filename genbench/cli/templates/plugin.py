"""A model for genbench: rectified flow (Liu et al. 2023) with a small network, for any shape.

Check it:  genbench check model my-model --plugin plugin.py
Train it:  genbench train my-model digits --plugin plugin.py --out my-model
Compare it: name it in a suite (model = "my-model") and add --plugin plugin.py to genbench run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from genbench import registry
from genbench.api import Batch, Optimization, PlayerStep, Progress, SampleSpec


class Velocity(nn.Module):
    """A perceptron: noisy samples ``(B, *shape)`` and times ``(B,)`` in, velocities out."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.shape = shape
        size = math.prod(shape)
        self.layers = nn.Sequential(
            nn.Linear(size + 1, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, size),
        )

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        inputs = torch.cat([x_t.flatten(1), t[:, None]], dim=1)
        velocity: Tensor = self.layers(inputs)
        return velocity.view(-1, *self.shape)


class RectifiedFlow(nn.Module):
    """Moves noise to data along straight lines: x_t = (1 - t) noise + t data."""

    def __init__(self, spec: SampleSpec, width: int, learning_rate: float) -> None:
        super().__init__()
        # The networks that are trained, by name. Each has an optimiser of its own.
        self.players = nn.ModuleDict({"velocity": Velocity(spec.shape, width)})
        # The shape of the noise of one sample, which `sample` is given.
        self.noise_shape = spec.shape
        self.learning_rate = learning_rate

    def optimization(self, player: str) -> Optimization:
        """How a player is trained: its optimiser, made of the player's named parameters.

        ``schedule=lambda progress: 1 - progress.fraction`` would let its rate fall to 0.
        """
        return Optimization(partial(torch.optim.Adam, lr=self.learning_rate))

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """One training step: yield a loss for each player that is to move.

        ``batch.data`` is ``(B, *shape)`` in [-1, 1]. All randomness comes from torch's global
        generator, which genbench seeds before every step.
        """
        x = batch.data
        noise = torch.randn_like(x)
        t = torch.rand(len(x), device=x.device)
        t_ = t.view(-1, *[1] * (x.dim() - 1))
        predicted = self.players["velocity"]((1 - t_) * noise + t_ * x, t)
        yield PlayerStep("velocity", (predicted - (x - noise)).square().mean())

    def sample(self, noise: Tensor, condition: Mapping[str, Tensor], *, steps: int = 20) -> Tensor:
        """Standard normal noise ``(B, *noise_shape)`` → samples ``(B, *shape)``, by Euler steps.

        The parameters after the star are the sampling options: ``sample = { steps = 50 }``.
        """
        x_t = noise
        for step in range(steps):
            t = torch.full((len(x_t),), step / steps, device=x_t.device)
            x_t = x_t + self.players["velocity"](x_t, t) / steps
        return x_t


def my_model(spec: SampleSpec, *, width: int = 256, learning_rate: float = 1e-3) -> RectifiedFlow:
    """Rectified flow with a perceptron of two hidden layers.

    ``spec`` says what the samples are (``spec.shape``, ``spec.modality``). The parameters after
    the star are the options of the model: ``options = { width = 512 }``.
    """
    return RectifiedFlow(spec, width, learning_rate)


# The name by which suites and commands know the model.
registry.models.add("my-model", my_model)
