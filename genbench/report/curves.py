"""What happened along training: scores of the snapshots, losses and gradient norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genbench.analysis.columns import Quantity
from genbench.analysis.diagnostics import TrainingGroup
from genbench.report.chart import Chart, slug
from genbench.report.figures import (
    CROWD,
    LOG_RATIO,
    LegendEntry,
    log_axis,
    look,
    mark_outcome,
    named,
    thousands,
)
from genbench.store.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOWS = 120
"""Points of a loss curve: each is the median of a window, in the band of its range."""

FEWEST = 40
"""Of them where a chart is crowded: ``WINDOWS`` of each of ``CROWD`` lines are shared by all, as
far as this leaves room."""

MANY = 300
"""Lines of a chart, above which those of one training are one line that breaks between seeds, and
windows have no bands: each thing drawn takes time and room of its own."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ChartLine:
    """One line of a loss or gradient chart."""

    key: LegendEntry
    """Of the entry and the player; its style tells the players of one training apart."""
    name: str
    status: str
    """Of its run, as ``Record.outcome`` has it."""
    examples: Array
    """``(n,)``."""
    values: Array
    """``(n,)``, possibly not finite."""


def snapshot_curves(
    trainings: Sequence[TrainingGroup],
    real: Record | None,
    colours: Mapping[str, int],
    weights: str,
    score: Quantity,
) -> Chart | None:
    """The headline ``score`` of ``ema`` or ``raw`` snapshots, a line a seed; ``None`` without any.

    Both charts have the same y axis. ``real``: the floor, which tells what collapsed; ``colours``:
    by training label, the index of its series.
    """
    records = [(training.label, record) for training in trainings for record in training.records]
    key = score.key
    lines = [(name, r, points) for name, r in records if (points := _scores(r, weights, key))]
    every = [d for _, r in records for which in ("ema", "raw") for _, d in _scores(r, which, key)]
    if not lines:
        return None
    crowded = len(lines) > CROWD

    def plot(axes: Axes) -> None:
        strands: dict[str, tuple[str, list[Array]]] = {}
        for label, record, points in lines:
            name = f"{label}, seed {record.seed}"
            said = label if len(lines) > MANY else name
            strands.setdefault(said, (label, []))[1].append(np.array(points, np.float64))
        for said, (label, parts) in strands.items():
            colour, marker = look(colours[label])
            examples, scores, ends = _joined(parts)
            line = axes.plot(
                examples,
                scores,
                color=colour,
                linewidth=0.7 if crowded else 1.3,
                marker=marker,
                markersize=4,
                markevery=ends if crowded else None,
            )
            named(line, said)
        for label, record, points in lines:  # upon the lines
            name = f"{label}, seed {record.seed}"
            mark_outcome(axes, points[-1], name, record.outcome(real=real).status)
        _scale(axes, every)
        axes.update_datalim([(0, min(every)), (0, max(every))], updatex=False)
        axes.autoscale_view()
        thousands(axes)
        axes.set_xlabel("examples seen")
        axes.set_ylabel(score.heading)

    drawn = dict.fromkeys(label for label, _, _ in lines)
    keys = [LegendEntry(label, colours[label], "-") for label in drawn]
    name = slug(f"{score.key} along training{' raw weights' if weights == 'raw' else ''}")
    said = f"{score.heading} of the {weights} weights along training, a line for each seed"
    return Chart(name, said, plot, keys)


def history_curves(
    curves: Sequence[ChartLine], quantity: str, name: str, label: str
) -> Chart | None:
    """Losses or gradient norms along training; ``None`` where no value is finite. ``name`` and
    ``label``: of the chart.

    A cross marks the last value before the first that is not finite.
    """
    count = max(FEWEST, min(WINDOWS, WINDOWS * CROWD // max(1, len(curves))))
    drawn = [(curve, windows(curve.examples, curve.values, count)) for curve in curves]
    drawn = [(curve, bins) for curve, bins in drawn if len(bins.examples)]
    if not drawn:
        return None

    width = 0.7 if len(drawn) > CROWD else 1.1

    def plot(axes: Axes) -> None:
        strands: dict[str, tuple[str, str, str, str, list[Array]]] = {}
        for curve, bins in drawn:
            colour, marker = look(curve.key.index)
            if len(drawn) <= MANY:
                _band(axes, bins, colour)
            said = f"{curve.key.index}{curve.key.style}" if len(drawn) > MANY else curve.name
            shown = curve.key.label if len(drawn) > MANY else curve.name
            part = np.stack([bins.examples, bins.median], axis=1)
            strands.setdefault(said, (shown, colour, marker, curve.key.style, []))[4].append(part)
        for shown, colour, marker, style, parts in strands.values():
            examples, medians, ends = _joined(parts)
            line = axes.plot(
                examples,
                medians,
                style,
                color=colour,
                linewidth=width,
                marker=marker,
                markersize=5,
                markevery=ends,
            )
            named(line, shown)
        for curve, bins in drawn:  # upon the lines
            end = float(bins.examples[-1]), float(bins.median[-1])
            finite = np.isfinite(curve.values).all()
            mark_outcome(axes, end, curve.name, curve.status if finite else "diverged")
        _scale(axes, [value for _, bins in drawn for value in bins.median])
        thousands(axes)
        axes.set_xlabel("examples seen")
        axes.set_ylabel(quantity)

    return Chart(name, label, plot, list(dict.fromkeys(curve.key for curve, _ in drawn)))


def _joined(parts: Sequence[Array]) -> tuple[Array, Array, list[int]]:
    """Lines of points ``(n, 2)`` as one that breaks between them, and where each ends."""
    gap = np.full((1, 2), np.nan)
    together = np.concatenate([piece for part in parts for piece in (part, gap)])[:-1]
    ends = np.cumsum([len(part) + 1 for part in parts]) - 2
    return together[:, 0], together[:, 1], ends.tolist()


def _band(axes: Axes, bins: Windows, colour: str) -> None:
    """As ``fill_between``, which takes five elements of the page for it, with one."""
    from matplotlib.patches import Polygon

    there, back = (
        zip(bins.examples, bins.low, strict=True),
        zip(bins.examples, bins.high, strict=True),
    )
    around = np.array([*there, *reversed([*back])])
    axes.add_artist(Polygon(around, color=colour, alpha=0.14, linewidth=0))
    axes.update_datalim([around.min(axis=0), around.max(axis=0)])


@dataclass(frozen=True)
class Windows:
    """A curve in windows; each array is ``(windows,)``."""

    examples: Array
    median: Array
    low: Array
    high: Array


def windows(examples: Array, values: Array, most: int = WINDOWS) -> Windows:
    """At most ``most`` windows of equally many finite values, in the order of training."""
    finite = np.isfinite(values)
    count = min(most, int(finite.sum()))
    if count == 0:
        return Windows(*(np.empty(0) for _ in range(4)))
    size, longer = divmod(int(finite.sum()), count)

    def of_each(measure: Callable[..., Array], of: Array) -> Array:
        # The first windows hold one value more than the others.
        first, others = np.split(of[finite], [longer * (size + 1)])
        parts = first.reshape(longer, size + 1), others.reshape(count - longer, size)
        return np.concatenate([measure(part, axis=1) for part in parts if part.size])

    return Windows(
        examples=of_each(np.mean, examples),
        median=of_each(np.median, values),
        low=of_each(np.min, values),
        high=of_each(np.max, values),
    )


def _scores(record: Record, weights: str, key: str) -> list[tuple[int, float]]:
    points = [
        (snapshot["examples"], snapshot["scores"].get(key))
        for snapshot in record.snapshots
        if snapshot["weights"] == weights
    ]
    return sorted((n, d) for n, d in points if d is not None and math.isfinite(d))


def _scale(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > LOG_RATIO:
        log_axis(axes, "y")
