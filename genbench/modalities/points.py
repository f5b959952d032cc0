"""Points of a space: ``(D,)`` real numbers, shown by their first two coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genbench.api import INK, Figure, Frames, Modality, SampleSpec, Shown
from genbench.api.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 5
"""Clouds in a row of a strip: more would be too small to be read."""


def check(spec: SampleSpec) -> str | None:
    return None if spec.rate is None else f"points have no rate, and these say {spec.rate:g}"


def preview(samples: Shown, first: Shown) -> Figure:
    """One cloud; all share the range of the first."""
    points, within = plane(samples), reach(first)

    def plot(axes: Axes) -> None:
        axes.plot(points[:, 0], points[:, 1], ".", color=INK, markersize=2.5, markeredgewidth=0)
        if within is not None:
            axes.set_xlim(-within, within)
            axes.set_ylim(-within, within)
        axes.set_aspect("equal")
        axes.locator_params(nbins=4)

    return Figure(plot, (2.6, 2.6))


def strip(frames: Frames, on_page: bool) -> Figure:
    """A cloud a frame, row by row."""
    rows, columns = _grid_of(len(frames.data))
    side = 1.2 if on_page else 1.6
    clouds = frames.each()
    return Figure(_clouds(clouds, farthest(clouds)), (side * columns, side * rows))


def animation(frames: Frames) -> list[Figure]:
    """A cloud a frame, in the range of all of them."""
    within = farthest(frames.each())
    return [Figure(_clouds([frame], within), (3.2, 3.2)) for frame in frames.each()]


def reach(samples: Shown) -> float | None:
    """How far the farthest finite point is from 0 in either coordinate, and a little more."""
    points = plane(samples)
    finite = points[np.isfinite(points).all(axis=1)]
    return 1.15 * float(np.abs(finite).max()) if len(finite) else None


def farthest(clouds: Sequence[Shown]) -> float:
    """``reach`` of all clouds together; 1 where no point is finite."""
    return max((far for far in map(reach, clouds) if far is not None), default=1.0)


def plane(samples: Shown) -> NDArray[np.float64]:
    """The first two coordinates, ``(n, 2)``. Raises ``DataError`` if there is only one."""
    flat = samples.data.reshape(len(samples.data), -1).astype(np.float64)
    if flat.shape[1] < 2:
        raise DataError("no picture of points with one coordinate")
    return flat[:, :2]


def _clouds(clouds: Sequence[Shown], within: float) -> Callable[[Axes], None]:
    """Clouds in rows of ``ACROSS`` on one pair of axes, each moved by as much as one is wide."""
    side = 2 * within
    places = [divmod(number, ACROSS) for number in range(len(clouds))]
    moved = [
        plane(cloud) + np.array([column * side, -row * side])
        for cloud, (row, column) in zip(clouds, places, strict=True)
    ]
    points = np.concatenate(moved)
    rows, columns = _grid_of(len(clouds))

    def plot(axes: Axes) -> None:
        axes.plot(points[:, 0], points[:, 1], ".", color=INK, markersize=2, markeredgewidth=0)
        axes.set_xlim(-side / 2, (columns - 0.5) * side)
        axes.set_ylim((0.5 - rows) * side, side / 2)
        axes.set_aspect("equal")
        axes.set_axis_off()

    return plot


def _grid_of(count: int) -> tuple[int, int]:
    return -(-count // ACROSS), min(count, ACROSS)


POINTS = Modality(check, preview, strip, animation, previewed=400, followed=64, animated=64)
