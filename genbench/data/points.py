"""Points of the plane whose distribution is known: a ring, a grid, a spiral.

Each split holds 10,000 points, drawn once and for all from its own fixed seed.
"""

from __future__ import annotations

from math import pi
from pathlib import Path

import torch
from torch import Tensor

from genbench.data.memory import in_memory
from genbench.data.splits import choose_split
from genbench.seeding import generator
from genbench.types import Categorical, Samples, SampleSpec

COUNT = 10_000
"""Points in each split."""
SEED = 0

RING_MODES = 8
RING_RADIUS = 1.0
RING_SIGMA = 0.01
"""Radius 2 and σ = 0.02 in Metz et al., "Unrolled Generative Adversarial Networks" (2017),
appendix A, halved to fit [-1, 1]."""

GRID_SIDE = 5
GRID_SPACING = 0.5
GRID_SIGMA = 0.0125
"""Means -4 + 2i and σ = 0.05 in Lin et al., "PacGAN" (2018), section 4.1, divided by 4 to fit
[-1, 1]."""

SPIRAL_START = 1.5 * pi
SPIRAL_END = 4.5 * pi
SPIRAL_SIGMA = 0.01
"""The Swiss roll's angles, as scikit-learn's ``make_swiss_roll`` draws them; the curve
(t cos t, t sin t) is divided by the last angle, so that it ends at radius 1, and σ is in that
unit."""


def ring(argument: str, data_dir: Path) -> Samples:
    """Eight Gaussians on a circle of radius 1, σ = 0.01; the label is the mode, 0–7 by angle.

    Splits ``train`` and ``test``, float32 ``(10000, 2)`` each. Raises ``UsageError`` for another.
    """
    return _mixture("points-ring", argument, ring_centres(), RING_SIGMA)


def grid(argument: str, data_dir: Path) -> Samples:
    """25 Gaussians on a 5×5 grid over [-1, 1]², σ = 0.0125; the label is the mode, 0–24 row by row.

    Splits ``train`` and ``test``, float32 ``(10000, 2)`` each. Raises ``UsageError`` for another.
    """
    return _mixture("points-grid", argument, grid_centres(), GRID_SIGMA)


def spiral(argument: str, data_dir: Path) -> Samples:
    """A Swiss roll of one and a half turns in [-1, 1]², σ = 0.01, uniform in the angle; no label.

    Splits ``train`` and ``test``, float32 ``(10000, 2)`` each. Raises ``UsageError`` for another.
    """
    split = choose_split("points-spiral", argument)
    stream = generator(SEED, f"points-spiral {split}")
    angle = SPIRAL_START + (SPIRAL_END - SPIRAL_START) * torch.rand(COUNT, generator=stream)
    curve = angle / SPIRAL_END * torch.stack([angle.cos(), angle.sin()])
    points = curve.T + SPIRAL_SIGMA * torch.randn(COUNT, 2, generator=stream)
    spec = SampleSpec("points", (2,), levels=None)
    return in_memory("points-spiral", split, spec, points, {})


def ring_centres() -> Tensor:
    """The ring's modes, float32 ``(8, 2)``, in the order of the labels."""
    angle = torch.arange(RING_MODES) * (2 * pi / RING_MODES)
    return RING_RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def grid_centres() -> Tensor:
    """The grid's modes, float32 ``(25, 2)``, in the order of the labels."""
    line = (torch.arange(GRID_SIDE) - (GRID_SIDE - 1) / 2) * GRID_SPACING
    return torch.cartesian_prod(line, line)


def _mixture(name: str, argument: str, centres: Tensor, sigma: float) -> Samples:
    """Equal weights; the number of points of each mode is random, as in independent draws."""
    split = choose_split(name, argument)
    stream = generator(SEED, f"{name} {split}")
    mode = torch.randint(len(centres), (COUNT,), generator=stream)
    points = centres[mode] + sigma * torch.randn(COUNT, 2, generator=stream)
    spec = SampleSpec("points", (2,), levels=None, condition={"label": Categorical(len(centres))})
    return in_memory(name, split, spec, points, {"label": mode})
