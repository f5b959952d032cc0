"""Entries as points: quality against what it costs, and two scores against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genbench.analysis.columns import Quantity
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.report.chart import Chart, slug
from genbench.report.figures import (
    REAL_SAMPLES,
    LegendEntry,
    ink,
    log_axis,
    look,
    mark_outcome,
    named,
)
from genbench.report.floor import clamped, within_reach
from genbench.store.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COSTS = {
    "training_flops": "training FLOPs",
    "training_seconds": "training time (seconds)",
    "nfe": "NFE (network evaluations a sample)",
}
"""What quality is held against: the columns, and what is written at their axes."""
TRADED = (
    ("precision", "recall"),
    ("correct", "prompt_diversity"),
    ("text_image_similarity", "prompt_diversity"),
)
"""Scores of which a sampler gives one for the other, as guidance does: quality, then diversity."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """A chart and its summary."""

    chart: Chart
    front: tuple[str, ...] = ()
    """The entries than which none is both cheaper and better, by rising cost."""


@dataclass
class _Cloud:
    """The seeds of one entry in a plane."""

    index: int
    row: EntryRuns
    done: list[Point] = field(default_factory=list)
    diverged: list[Point] = field(default_factory=list)
    marked: list[tuple[Point, str]] = field(default_factory=list)
    """All points, with the status of their runs."""

    @property
    def whole(self) -> bool:
        """Whether every run is among ``done``: only then is their mean a result."""
        return 0 < len(self.done) == len(self.row.runs)

    @property
    def mean(self) -> Point:
        n = len(self.done)
        return sum(x for x, _ in self.done) / n, sum(y for _, y in self.done) / n


def quality_planes(
    rows: Sequence[EntryRuns],
    quantities: Mapping[str, Quantity],
    score: Quantity,
    colours: Mapping[str, int],
) -> list[Plane]:
    """The headline ``score`` against each of ``COSTS``, as far as both are known.

    A stepped line is the front; a dotted one joins the samplers of one model on the same weights;
    the dashed one is the real row.
    """
    costs = {name: quantities[name] for name in COSTS if name in quantities}
    planes = (
        _quality_plane(rows, cost, COSTS[name], score, colours) for name, cost in costs.items()
    )
    return [plane for plane in planes if plane]


def _quality_plane(
    rows: Sequence[EntryRuns],
    cost: Quantity,
    axis: str,
    score: Quantity,
    colours: Mapping[str, int],
) -> Plane | None:
    clouds = _clouds(rows, cost, score, colours)
    if not clouds:
        return None
    real = real_baseline(rows)
    floor = None if real is None else score.read(real)
    whole = [cloud for cloud in clouds if cloud.whole]
    sign = -1 if score.better else 1
    signed = [(cloud.mean[0], sign * cloud.mean[1]) for cloud in whole]
    front = [whole[i] for i in pareto_front(signed)]

    def plot(axes: Axes) -> None:
        _draw_same_weights(axes, clouds)
        _draw(axes, clouds)
        xs, ys = _coordinates(clouds)
        if floor is not None:
            _draw_floor(axes, floor, ys)
        if min(xs) > 0:
            log_axis(axes, "x", prefixed=cost.unit == "count")
        if min(ys) > 0:
            log_axis(axes, "y")
        axes.set_xlabel(axis)
        axes.set_ylabel(score.heading)
        if front:
            _draw_front(axes, [cloud.mean for cloud in front], score.better is True)

    labels = tuple(cloud.row.label for cloud in front)
    said = f"{score.heading} against {cost.heading}, a point a seed"
    said = f"{said}; the front: {', '.join(labels)}" if labels else said
    name = slug(f"{score.key} against {cost.key}")
    return Plane(Chart(name, said, plot, _keys(clouds)), labels)


def traded_planes(
    rows: Sequence[EntryRuns], quantities: Mapping[str, Quantity], colours: Mapping[str, int]
) -> list[Plane]:
    """The scores of ``TRADED`` against each other, as far as both are known.

    A dotted line joins the samplers of one model on the same weights; the plus is the real row.
    """
    planes = (
        _traded_plane(rows, quantities[quality], quantities[diversity], colours)
        for quality, diversity in TRADED
        if quality in quantities and diversity in quantities
    )
    return [plane for plane in planes if plane]


def _traded_plane(
    rows: Sequence[EntryRuns], quality: Quantity, diversity: Quantity, colours: Mapping[str, int]
) -> Plane | None:
    clouds = _clouds(rows, diversity, quality, colours)
    if not clouds:
        return None
    real = real_baseline(rows)
    at = None if real is None else _point(real, diversity, quality)

    def plot(axes: Axes) -> None:
        _draw_same_weights(axes, clouds)
        _draw(axes, clouds)
        if at is not None:
            _draw_real(axes, at, clouds)
        axes.set_xlabel(diversity.heading)
        axes.set_ylabel(quality.heading)

    said = f"{quality.heading} against {diversity.heading}, a point a seed"
    name = slug(f"{quality.key}-{diversity.key}")
    return Plane(Chart(name, said[0].upper() + said[1:], plot, _keys(clouds)))


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Of points of which less is better in both coordinates, the indices of those that no other
    beats in one without losing in the other; by the first coordinate, rising."""
    kept: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        # All before it are cheaper or equal; the last one kept is the best of them.
        if not kept or points[i][1] < points[kept[-1]][1] or points[i] == points[kept[-1]]:
            kept.append(i)
    return kept


def _clouds(
    rows: Sequence[EntryRuns], x: Quantity, y: Quantity, colours: Mapping[str, int]
) -> list[_Cloud]:
    real = real_baseline(rows)
    clouds = []
    for row in (row for row in rows if not row.is_baseline):
        cloud = _Cloud(colours[row.label], row)
        for record in row.runs:
            point = _point(record, x, y)
            status = record.outcome(real=real).status
            if point is None or not (record.completed or status == "diverged"):
                continue
            (cloud.done if record.completed else cloud.diverged).append(point)
            cloud.marked.append((point, status))
        if cloud.done or cloud.diverged:
            clouds.append(cloud)
    return clouds


def _point(record: Record, x: Quantity, y: Quantity) -> Point | None:
    at = x.read(record), y.read(record)
    return None if at[0] is None or at[1] is None else (at[0], at[1])


def _keys(clouds: Sequence[_Cloud]) -> list[LegendEntry]:
    return [LegendEntry(cloud.row.label, cloud.index) for cloud in clouds]


def _draw(axes: Axes, clouds: Sequence[_Cloud]) -> None:
    for cloud in clouds:
        colour, marker = look(cloud.index)
        marks = []
        if cloud.done:
            x, y = zip(*cloud.done, strict=True)
            marks += axes.plot(x, y, marker, color=colour, markersize=4, markerfacecolor="none")
        if cloud.whole:
            marks += axes.plot(*cloud.mean, marker, color=colour, markersize=8, markeredgewidth=0)
        named(marks, cloud.row.label)
        for at, status in cloud.marked:
            mark_outcome(axes, at, cloud.row.label, status, colour)


def _draw_same_weights(axes: Axes, clouds: Sequence[_Cloud]) -> None:
    for line in _same_weights(clouds):
        thin: dict[str, Any] = {"linewidth": 0.8, "zorder": 1, "label": "same weights"}
        axes.plot(*zip(*line, strict=True), ":", color=ink(), **thin)


def _coordinates(clouds: Sequence[_Cloud]) -> tuple[list[float], list[float]]:
    points = [at for cloud in clouds for at in cloud.done + cloud.diverged]
    return [x for x, _ in points], [y for _, y in points]


def _draw_floor(axes: Axes, floor: float, ys: Sequence[float]) -> None:
    """The score of the real row: a dashed line; at the edge, where it is far from all entries."""
    low, high, at = min(ys), max(ys), floor
    if low > 0:  # the axis is logarithmic
        low, high, at = math.log(low), math.log(high), math.log(floor) if floor > 0 else -math.inf
    if within_reach(at, low, high):
        thin: dict[str, Any] = {"linewidth": 0.8, "linestyle": "--", "alpha": 0.7}
        axes.axhline(floor, color=ink(), label=REAL_SAMPLES, **thin)
        return
    below = at < low
    mark = "v" if below else "^"
    place, at_edge = (1, 0 if below else 1), axes.transAxes
    axes.plot(*place, mark, color=ink(), markersize=5, clip_on=False, transform=at_edge)
    # Above the plot, where no point can be.
    said = f"real: {floor:.3g} {'↓' if below else '↑'}"
    axes.text(1, 1.02, said, transform=axes.transAxes, ha="right", va="bottom", fontsize=8)


def _draw_real(axes: Axes, at: Point, clouds: Sequence[_Cloud]) -> None:
    """The real row as a plus; at the edge and with its coordinates, where it is far."""
    xs, ys = _coordinates(clouds)
    place = clamped(at[0], min(xs), max(xs)), clamped(at[1], min(ys), max(ys))
    plus: dict[str, Any] = {"markersize": 11, "markeredgewidth": 1.4, "label": REAL_SAMPLES}
    named(axes.plot(*place, "+", color=ink(), **plus), "real")
    if place != at:
        said = f"real: {at[0]:.3g}, {at[1]:.3g}"
        left = at[0] < sum(xs) / len(xs)
        axes.annotate(
            said,
            place,
            (8 if left else -8, 0),
            textcoords="offset points",
            ha="left" if left else "right",
            va="center",
            fontsize=8,
        )


def _draw_front(axes: Axes, front: Sequence[Point], higher_is_better: bool) -> None:
    """From the worse edge to the cheapest, and from the best on to the right edge."""
    right, worse = axes.get_xlim()[1], axes.get_ylim()[0 if higher_is_better else 1]
    x = [front[0][0], *(x for x, _ in front), right]
    y = [worse, *(y for _, y in front), front[-1][1]]
    axes.autoscale(False)
    thin: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.8, "zorder": 1, "label": "Pareto front"}
    axes.step(x, y, where="post", color=ink(), **thin)


def _same_weights(clouds: Sequence[_Cloud]) -> list[list[Point]]:
    groups: dict[tuple[str, frozenset[str]], list[_Cloud]] = {}
    for cloud in clouds:
        if cloud.whole and cloud.row.trainings:
            key = cloud.row.records[0].model, frozenset(cloud.row.trainings)
            groups.setdefault(key, []).append(cloud)
    return [sorted(cloud.mean for cloud in group) for group in groups.values() if len(group) > 1]
