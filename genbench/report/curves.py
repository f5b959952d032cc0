"""What happened along training: scores of the snapshots, losses and gradient norms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from genbench.report.figures import CROWD, crossed, log_axis, look, named, ringed, svg, thousands
from genbench.results import Record
from genbench.tables import Training, is_collapsed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOWS = 120
"""Points of a loss curve: each is the median of a window, in the band of its range."""

FEWEST = 40
"""Of them where a chart is crowded: ``WINDOWS`` of each of ``CROWD`` lines are shared by all, as
far as this leaves room."""

LOG_RATIO = 20.0
"""Values that span more than this are drawn on a logarithmic axis."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One line of a loss or gradient chart."""

    series: int
    name: str
    collapsed: bool
    images: Array
    """``(n,)``."""
    values: Array
    """``(n,)``, possibly not finite."""


def snapshot_curves(
    trainings: Sequence[Training],
    real: Record | None,
    colours: Mapping[str, int],
    weights: str,
    distance: str,
) -> Markup | None:
    """The Fréchet distance of ``ema`` or ``raw`` snapshots, a line a seed; ``None`` without any.

    Both charts have the same y axis. ``real``: the floor, which tells what collapsed; ``colours``:
    by training label, the index of its series; ``distance``: how the Fréchet distance is called
    here.
    """
    records = [(training.label, record) for training in trainings for record in training.records]
    lines = [(name, r, points) for name, r in records if (points := _distances(r, weights))]
    every = [d for _, r in records for which in ("ema", "raw") for _, d in _distances(r, which)]
    if not lines:
        return None
    crowded = len(lines) > CROWD

    def plot(axes: Axes) -> None:
        for label, record, points in lines:
            images, distances = zip(*points, strict=True)
            colour, marker = look(colours[label])
            name = f"{label}, seed {record.seed}"
            width, places = (0.7, [len(points) - 1]) if crowded else (1.3, range(len(points)))
            line = axes.plot(
                images,
                distances,
                color=colour,
                linewidth=width,
                marker=marker,
                markersize=4,
                markevery=list(places),
            )
            named(line, name)
            if is_collapsed(record, real):
                ringed(axes, points[-1], name)
            if record.status == "diverged":
                crossed(axes, points[-1], name)
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
    count = max(FEWEST, min(WINDOWS, WINDOWS * CROWD // max(1, len(curves))))
    drawn = [(curve, windows(curve.images, curve.values, count)) for curve in curves]
    drawn = [(curve, bins) for curve, bins in drawn if len(bins.images)]
    if not drawn:
        return None

    width = 0.7 if len(drawn) > CROWD else 1.1

    def plot(axes: Axes) -> None:
        for curve, bins in drawn:
            colour, marker = look(curve.series)
            axes.fill_between(bins.images, bins.low, bins.high, color=colour, alpha=0.14, lw=0)
            line = axes.plot(bins.images, bins.median, color=colour, linewidth=width)
            end = float(bins.images[-1]), float(bins.median[-1])
            named(line + axes.plot(*end, marker, color=colour, markersize=5), curve.name)
            if curve.collapsed:
                ringed(axes, end, curve.name)
            if not np.isfinite(curve.values).all():
                crossed(axes, end, curve.name)
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


def windows(images: Array, values: Array, most: int = WINDOWS) -> Windows:
    """At most ``most`` windows of equally many finite values, in the order of training."""
    finite = np.isfinite(values)
    count = min(most, int(finite.sum()))
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
