"""Consistency training (Song, Dhariwal, Chen & Sutskever 2023; improved: Song & Dhariwal 2024).

A consistency function takes any point of a path of the probability-flow ODE to the path's end at
sigma_min, so that one evaluation takes noise to a sample. It is learned without a diffusion model:
the function's values at x_0 + σ_i ε and at x_0 + σ_{i+1} ε, the same x_0 and ε, are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from baselines.conditioning import Conditioning, class_count, labelled
from baselines.denoisers import NetworkDenoiser
from baselines.diffusion import DiffusionBase, State, diffuse, last_of
from baselines.networks import NetworkOptions, denoising_network
from baselines.optimizers import OptimizerConfig
from baselines.predictions import edm
from baselines.schedules import NoiseLevels, on, spread
from genbench.api import Batch, Condition, PlayerStep, Progress, SampleSpec
from genbench.api.errors import UsageError

HUBER = 0.00054
"""c/√d of the pseudo-Huber metric (Song & Dhariwal 2024, table 1)."""
LAST_LEVEL = 0.821
"""Where the second of two steps begins (Song & Dhariwal 2024, for CIFAR-10)."""


def consistency(
    spec: SampleSpec,
    *,
    sigma_data: PositiveFloat = 0.5,
    intervals: tuple[PositiveInt, PositiveInt] = (10, 1280),
    conditional: bool = False,
    network: NetworkOptions = NetworkOptions(),
    optimizer: OptimizerConfig = OptimizerConfig(),
) -> Consistency:
    """A consistency model, trained alone: samples in one step, or in a few.

    Args:
        spec: Any number of channels and 1 to 3 sides, or points.
        sigma_data: The data's standard deviation.
        intervals: Between noise levels, at the start of the training and, after doublings at equal
            distances, at its end: s_0 and s_1 (Song & Dhariwal 2024, section 3.4).

    The other options are those of ``ddpm``.

    Raises:
        UsageError: ``intervals`` that fall, and as ``ddpm``.
    """
    first, last = intervals
    if last < first:
        raise UsageError(f"intervals must not fall, got {first} and then {last}")
    classes = class_count(spec, conditional=conditional)
    return Consistency(
        spec,
        denoising_network(spec, options=network, classes=classes),
        optimizer,
        labelled(classes, dropout=0.0),
        sigma_data=sigma_data,
        intervals=intervals,
    )


class Consistency(DiffusionBase):
    """A network as a consistency function f(x, t), t the noise level."""

    schedule: NoiseLevels

    def __init__(
        self,
        spec: SampleSpec,
        network: nn.Module,
        learning: OptimizerConfig,
        conditioning: Conditioning,
        *,
        sigma_data: float,
        intervals: tuple[int, int],
    ) -> None:
        # The levels' distribution in training: Song & Dhariwal 2024, table 1.
        super().__init__(
            spec, NoiseLevels(mean=-1.1, deviation=2.0), network, learning, conditioning
        )
        self.sigma_data = sigma_data
        self.intervals = intervals

    def function(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """f(x_t, t) = c_skip x_t + c_out F ``(B, *shape)``; x_t itself at sigma_min.

        Song et al. 2023, eq. 5 and appendix C; c_in and c_noise are EDM's.
        """
        network = NetworkDenoiser(
            self.players["denoiser"],
            self.schedule,
            edm(self.sigma_data),
            self.conditioning.of(condition),
        )
        above = t - self.schedule.sigma_min
        c_skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        c_out = self.sigma_data * above / (t**2 + self.sigma_data**2).sqrt()
        return on(x_t, c_skip) * x_t + on(x_t, c_out) * network.predict(x_t, t)

    def losses(self, batch: Batch, progress: Progress) -> Iterator[PlayerStep]:
        """The distance of f at two neighbouring levels, over the levels' distance.

        The teacher is f at the lower level, held still (Song & Dhariwal 2024, section 3.2), with
        the student's dropout mask (section 3.1).
        """
        x_0 = batch.data
        below, above = self.draw(len(x_0), progress)
        noise = torch.randn_like(x_0)
        cards = [x_0.device] if x_0.device.type == "cuda" else []
        with torch.random.fork_rng(cards), torch.no_grad():
            x_t = diffuse(self.schedule, x_0, below, noise)
            teacher = self.function(x_t, below, batch.condition)
        x_t = diffuse(self.schedule, x_0, above, noise)
        student = self.function(x_t, above, batch.condition)
        distance = pseudo_huber(student, teacher)
        yield PlayerStep("denoiser", (distance / on(distance, above - below)).mean())

    def draw(self, count: int, progress: Progress) -> tuple[Tensor, Tensor]:
        """Neighbouring noise levels, ``(count,)`` each, of the grid at this point of the training.

        Those between which a log-normal level lies, held within the grid (Song & Dhariwal 2024,
        section 3.5).
        """
        grid = self.schedule.at(self.grid(progress))
        shares = torch.special.ndtr((grid.log() - self.schedule.mean) / self.schedule.deviation)
        drawn = shares[0] + spread(count) * (shares[-1] - shares[0])
        above = torch.searchsorted(shares, drawn, right=True).clamp(1, len(grid) - 1)
        return grid[above - 1], grid[above]

    def grid(self, progress: Progress) -> Tensor:
        """Fractions of the way to the most noise, whose number doubles (Song & Dhariwal 2024,
        section 3.4)."""
        first, last = self.intervals
        stages = math.log2(last // first) + 1
        doublings = int(progress.fraction * stages)
        return torch.linspace(0, 1, min(first * 2**doublings, last) + 1, dtype=torch.float64)

    def path(
        self, noise: Tensor, condition: Condition, *, steps: PositiveInt = 1
    ) -> Iterator[State]:
        """Standard normal ``(B, *shape)`` to samples ``(B, *shape)``.

        Song et al. 2023, algorithm 1.

        Args:
            steps: Network evaluations. Before each but the first, noise is added again, up to
                levels that fall geometrically from 80 to 0.821, where the last of several begins.
        """
        low, high = math.log(LAST_LEVEL), math.log(self.schedule.sigma_max)
        levels = torch.linspace(high, low, steps, dtype=torch.float64).exp()
        x_t = levels[0] * noise
        yield x_t, levels[0]
        x = self.function(x_t, levels[0], condition)
        for t in levels[1:]:
            x_t = x + (t**2 - self.schedule.sigma_min**2).sqrt() * torch.randn_like(x)
            yield x_t, t
            x = self.function(x_t, t, condition)
        yield x, None

    sample = last_of(path)


def pseudo_huber(x: Tensor, y: Tensor) -> Tensor:
    """√(‖x - y‖² + c²) - c of ``(B, *shape)``: ``(B,)``; c = 0.00054 √d (Song & Dhariwal 2024,
    section 3.3)."""
    difference = (x - y).flatten(1)
    c = HUBER * math.sqrt(difference.shape[1])
    return (difference.square().sum(1) + c**2).sqrt() - c
