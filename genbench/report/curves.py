"""What happened along training: scores of the snapshots, losses and gradient norms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from genbench.report.figures import INK, MARKERS, SERIES, log_axis, series, svg, thousands
from genbench.results import Record
from genbench.tables import Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOWS = 120
"""Points of a loss curve: each is the median of a window, in the band of its range."""

LOG_RATIO = 20.0
"""Values that span more than this are drawn on a logarithmic axis."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One line of a loss or gradient chart."""

    series: int
    images: Array
    """``(n,)``."""
    values: Array
    """``(n,)``, possibly not finite."""


def snapshot_curves(
    trainings: Sequence[Training], colours: Mapping[str, int], weights: str, distance: str
) -> Markup | None:
    """The Fréchet distance of ``ema`` or ``raw`` snapshots, a line a seed; ``None`` without any.

    Both charts have the same y axis. ``colours``: by training label, the index of its series;
    ``distance``: how the Fréchet distance is called here.
    """
    records = [(colours[t.label], record) for t in trainings for record in t.records]
    lines = [(i, r, points) for i, r in records if (points := _distances(r, weights))]
    every = [d for _, r in records for which in ("ema", "raw") for _, d in _distances(r, which)]
    if not lines:
        return None

    def plot(axes: Axes) -> None:
        for index, record, points in lines:
            images, distances = zip(*points, strict=True)
            colour = SERIES[series(index)]
            marker = MARKERS[series(index)]
            axes.plot(images, distances, color=colour, marker=marker, markersize=4)
            if record.status == "diverged":
                axes.plot(images[-1:], distances[-1:], "x", color=INK, markersize=8)
        _scale(axes, every)
        axes.update_datalim([(0, min(every)), (0, max(every))], updatex=False)
        axes.autoscale_view()
        thousands(axes)
        axes.set_xlabel("images seen")
        axes.set_ylabel(distance)

    return svg(plot, f"{distance} of the {weights} weights along training, a line for each seed")


def history_curves(curves: Sequence[Curve], quantity: str, label: str) -> Markup | None:
    """Losses or gradient norms along training; ``None`` where no value is finite.

    A cross marks the last value before the first that is not finite.
    """
    drawn = [(curve, windows(curve.images, curve.values)) for curve in curves]
    drawn = [(curve, bins) for curve, bins in drawn if len(bins.images)]
    if not drawn:
        return None

    def plot(axes: Axes) -> None:
        for curve, bins in drawn:
            colour = SERIES[series(curve.series)]
            axes.fill_between(bins.images, bins.low, bins.high, color=colour, alpha=0.14, lw=0)
            marker = MARKERS[series(curve.series)]
            axes.plot(bins.images, bins.median, color=colour, linewidth=1.1)
            axes.plot(bins.images[-1:], bins.median[-1:], marker, color=colour, markersize=5)
            if not np.isfinite(curve.values).all():
                axes.plot(bins.images[-1:], bins.median[-1:], "x", color=INK, markersize=8)
        _scale(axes, [value for _, bins in drawn for value in bins.median])
        thousands(axes)
        axes.set_xlabel("images seen")
        axes.set_ylabel(quantity)

    return svg(plot, label)


@dataclass(frozen=True)
class Windows:
    """A curve in windows; each array is ``(windows,)``."""

    images: Array
    median: Array
    low: Array
    high: Array


def windows(images: Array, values: Array) -> Windows:
    """At most ``WINDOWS`` windows of equally many finite values, in the order of training."""
    finite = np.isfinite(values)
    count = min(WINDOWS, int(finite.sum()))
    if count == 0:
        return Windows(*(np.empty(0) for _ in range(4)))
    parts = np.array_split(values[finite], count)
    return Windows(
        images=np.array([part.mean() for part in np.array_split(images[finite], count)]),
        median=np.array([np.median(part) for part in parts]),
        low=np.array([part.min() for part in parts]),
        high=np.array([part.max() for part in parts]),
    )


def _distances(record: Record, weights: str) -> list[tuple[int, float]]:
    points = [
        (snapshot["images"], snapshot["scores"].get("frechet_distance"))
        for snapshot in record.snapshots
        if snapshot["weights"] == weights
    ]
    return sorted((n, d) for n, d in points if d is not None and math.isfinite(d))


def _scale(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > LOG_RATIO:
        log_axis(axes, "y")
