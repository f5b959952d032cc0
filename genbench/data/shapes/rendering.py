"""Scenes → pictures. The same bits everywhere: all is counted in whole numbers.

A pixel's coverage is the number of its 8×8 sample points that lie within the object. Whether one
does is decided exactly: points lie on a grid of 1/16 pixel and corners on one of 1/64, so that no
product is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from genbench.data.shapes.scenes import COLOURS, GRID, SHAPES, SIDE, SIZES, Scene, radius

BACKGROUND = 16
"""The level of all three channels where there is no object."""
POINTS = GRID * GRID
"""Sample points of a pixel: the coverage of one that lies wholly within an object."""
HALF = 8
"""Pixels from an object's centre, rounded down to a pixel's corner, to the edge of its patch."""
PATCH = 2 * HALF + 1
CHUNK = 256
"""Scenes that are drawn at once: few enough for a processor's cache."""
INNER = 0.45
"""The radius of a star's inner corners, of that of its points."""
ARM = 0.34
"""Half the width of a cross's arm, of its length from the centre."""


def render(scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    """Pictures, uint8 ``(B, 3, 32, 32)``, of scenes whose objects do not overlap, with centres on
    the grid of 1/8 pixel and colours of ``COLOURS``: each level is that of the background and of
    the object in the ratio of the coverage, rounded."""
    parts = [_render(scenes[first : first + CHUNK]) for first in range(0, len(scenes), CHUNK)]
    return np.concatenate([np.empty((0, 3, SIDE, SIDE), dtype=np.uint8), *parts])


def _render(scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    light = np.zeros((len(scenes), 3, SIDE + PATCH, SIDE + PATCH), dtype=np.int32)
    for slot in range(max(map(len, scenes), default=0)):
        rows = [row for row, scene in enumerate(scenes) if len(scene) > slot]
        items = [scenes[row][slot] for row in rows]
        shape = [SHAPES.index(item.shape) for item in items]
        size = [SIZES.index(item.size) for item in items]
        colour = [COLOURS[item.colour] for item in items if item.colour is not None]
        centre = np.array([item.centre for item in items])
        corner, phase = np.divmod(np.rint(centre * GRID).astype(np.int64), GRID)
        coverage = patches()[shape, size, phase[:, 1], phase[:, 0]]
        added = (
            coverage[:, None] * (np.array(colour, dtype=np.int32) - BACKGROUND)[:, :, None, None]
        )
        at = np.arange(PATCH)
        index = (
            np.array(rows)[:, None, None, None],
            np.arange(3)[:, None, None],
            (corner[:, 1, None] + at)[:, None, :, None],
            (corner[:, 0, None] + at)[:, None, None, :],
        )
        light[index] += added
    inside = light[:, :, HALF : HALF + SIDE, HALF : HALF + SIDE]
    return (BACKGROUND + (inside + POINTS // 2) // POINTS).astype(np.uint8)


@cache
def patches() -> NDArray[np.int32]:
    """The coverage, 0 … 64, of every object at every place within a pixel: ``(shapes, sizes, 8, 8,
    17, 17)``, where the 8×8 are eighths of a pixel down and to the right."""
    whole = np.empty((len(SHAPES), len(SIZES), GRID, GRID, PATCH, PATCH), dtype=np.int32)
    # Sample points from the farthest that a patch holds, in pixels from the object's centre.
    first = -HALF * GRID - (GRID - 1)
    line = (first + np.arange(PATCH * GRID + GRID - 1) + 0.5) / GRID
    x, y = line[None, :], line[:, None]
    for i, shape in enumerate(SHAPES):
        for j, size in enumerate(SIZES):
            covered = _within(shape, radius(shape, size), x, y)
            for down in range(GRID):
                for right in range(GRID):
                    start_y, start_x = GRID - 1 - down, GRID - 1 - right
                    part = covered[start_y:, start_x:][: PATCH * GRID, : PATCH * GRID]
                    cells = part.reshape(PATCH, GRID, PATCH, GRID)
                    whole[i, j, down, right] = cells.sum(axis=(1, 3))
    whole.setflags(write=False)
    return whole


def _within(
    shape: str, reach: float, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points, ``(1, n)`` to the right and ``(n, 1)`` down, an object around (0, 0) holds."""
    match shape:
        case "circle":
            return x * x + y * y <= reach * reach
        case "square":
            half = _rounded(reach * cos(pi / 4))
            return (abs(x) <= half) & (abs(y) <= half)
        case "triangle":
            return _polygon([(reach, 90), (reach, 210), (reach, 330)], x, y)
        case "star":
            inner = INNER * reach
            corners = [(reach if k % 2 == 0 else inner, 90 + 36 * k) for k in range(10)]
            return _polygon(corners, x, y)
    length = _rounded(reach / (1 + ARM**2) ** 0.5)
    arm = _rounded(ARM * length)
    upright = (abs(x) <= arm) & (abs(y) <= length)
    return upright | ((abs(y) <= arm) & (abs(x) <= length))


def _polygon(
    corners: Sequence[tuple[float, float]], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points lie within a polygon whose corners are at these distances and angles, in degrees
    from the right: those from which a ray to the right crosses an odd number of its sides."""
    at = [
        (_rounded(far * cos(angle * pi / 180)), -_rounded(far * sin(angle * pi / 180)))
        for far, angle in corners
    ]
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(at, at[1:] + at[:1], strict=True):
        # The ray meets the side at a larger x if the point lies on its left.
        left = (x - x1) * (y2 - y1) < (x2 - x1) * (y - y1)
        inside ^= ((y1 > y) != (y2 > y)) & (left if y2 > y1 else ~left)
    return inside


def _rounded(value: float) -> float:
    return round(64 * value) / 64
