"""Points of the plane whose distribution is known: a ring, a grid, a spiral.

Each split holds 10,000 points, always drawn from the same seed of its own: in float64, rounded
to multiples of 1e-6 and then to float32, so that the last bit of a processor's sine or logarithm
does not change them.

The noise is well above the level at which diffusions usually stop, 0.01 to 0.02 for data in [-1, 1]
(variances add), so that the modes decide the scores, not that residue. Its ratio to the distance
between modes is therefore larger than usual: σ = 0.02 on a ring of radius 2 in Metz et al.,
"Unrolled Generative Adversarial Networks" (2017), appendix A; 0.05 on a grid of spacing 2 in Lin et
al., "PacGAN" (2018), section 4.1.
"""

from __future__ import annotations

from math import pi
from pathlib import Path

import torch
from torch import Tensor

from genbench.api import Categorical, Samples, SampleSpec
from genbench.api.seeding import generator
from genbench.data import choose_split
from genbench.store import in_memory

COUNT = 10_000
"""Points in each split."""
SEED = 0

RING_MODES = 8
RING_RADIUS = 1.0
RING_SIGMA = 0.05

GRID_SIDE = 5
GRID_SPACING = 0.5
GRID_SIGMA = 0.05

SPIRAL_START = 1.5 * pi
SPIRAL_END = 4.5 * pi
SPIRAL_SIGMA = 0.02
"""The Swiss roll's angles, as scikit-learn's ``make_swiss_roll`` draws them; the curve
(t cos t, t sin t) is divided by the last angle, so that it ends at radius 1, and σ is in that
unit."""


def ring(argument: str, data_dir: Path) -> Samples:
    """Eight Gaussians on a circle of radius 1, σ = 0.05; the label is the mode, 0–7 by angle.

    Splits ``train`` and ``test``, float32 ``(10000, 2)`` each. Raises ``UsageError`` for another.
    """
    return _mixture("points-ring", argument, ring_centres(), RING_SIGMA)


def grid(argument: str, data_dir: Path) -> Samples:
    """25 Gaussians on a 5×5 grid over [-1, 1]², σ = 0.05; the label is the mode, 0–24 row by row.

    Splits ``train`` and ``test``, float32 ``(10000, 2)`` each. Raises ``UsageError`` for another.
    """
    return _mixture("points-grid", argument, grid_centres(), GRID_SIGMA)


def spiral(argument: str, data_dir: Path) -> Samples:
    """A Swiss roll of one and a half turns in [-1, 1]², σ = 0.02, uniform in the angle; no label.

    Splits ``train`` and ``test``, float32 ``(10000, 2)`` each. Raises ``UsageError`` for another.
    """
    split = choose_split("points-spiral", argument)
    stream = generator(SEED, f"points-spiral {split}")
    turned = torch.rand(COUNT, generator=stream, dtype=torch.float64)
    angle = SPIRAL_START + (SPIRAL_END - SPIRAL_START) * turned
    curve = angle / SPIRAL_END * torch.stack([angle.cos(), angle.sin()])
    points = _noisy(curve.T, SPIRAL_SIGMA, stream)
    spec = SampleSpec("points", (2,), levels=None)
    return in_memory("points-spiral", split, spec, points, {})


def ring_centres() -> Tensor:
    """The ring's modes, float64 ``(8, 2)``, in the order of the labels."""
    angle = torch.arange(RING_MODES, dtype=torch.float64) * (2 * pi / RING_MODES)
    return RING_RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def grid_centres() -> Tensor:
    """The grid's modes, float64 ``(25, 2)``, in the order of the labels."""
    line = (torch.arange(GRID_SIDE, dtype=torch.float64) - (GRID_SIDE - 1) / 2) * GRID_SPACING
    return torch.cartesian_prod(line, line)


def _mixture(name: str, argument: str, centres: Tensor, sigma: float) -> Samples:
    """Equal weights; the number of points of each mode is random, as in independent draws."""
    split = choose_split(name, argument)
    stream = generator(SEED, f"{name} {split}")
    mode = torch.randint(len(centres), (COUNT,), generator=stream)
    points = _noisy(centres[mode], sigma, stream)
    spec = SampleSpec("points", (2,), levels=None, condition={"label": Categorical(len(centres))})
    return in_memory(name, split, spec, points, {"label": mode})


def _noisy(x: Tensor, sigma: float, stream: torch.Generator) -> Tensor:
    """``x``, float64, and Gaussian noise, in float32 by way of multiples of 1e-6."""
    noisy = x + sigma * torch.randn(x.shape, generator=stream, dtype=torch.float64)
    return noisy.round(decimals=6).float()
