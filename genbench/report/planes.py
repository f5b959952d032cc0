"""Entries as points: quality against the cost of sampling, and precision against recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from genbench.report.figures import INK, MARKERS, SERIES, log_axis, series, svg
from genbench.results import Record
from genbench.tables import Column, Entrant

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class _Cloud:
    """The seeds of one entry in a plane."""

    index: int
    row: Entrant
    done: list[tuple[float, float]]
    diverged: list[tuple[float, float]]
    whole: bool
    """Whether every run is among ``done``: only then is their mean a result."""

    @property
    def mean(self) -> tuple[float, float]:
        n = len(self.done)
        return sum(x for x, _ in self.done) / n, sum(y for _, y in self.done) / n


def quality_plane(rows: Sequence[Entrant], nfe: Column, distance: Column) -> Markup | None:
    """The distance to the data against the network evaluations a sample; ``None`` without points.

    A thin line joins the samplers of one model on the same weights; the dashed one is the real row.
    """
    clouds = _clouds(rows, nfe, distance)
    if not clouds:
        return None
    floor = next((distance.read(row.records[0]) for row in rows if row.real), None)

    def plot(axes: Axes) -> None:
        for line in _same_weights(clouds):
            axes.plot(*zip(*line, strict=True), color=INK, linewidth=0.6, alpha=0.5, zorder=1)
        if floor is not None:
            axes.axhline(floor, color=INK, linewidth=0.8, linestyle="--", alpha=0.7)
        _draw(axes, clouds)
        log_axis(axes, "x")
        ys = [y for cloud in clouds for _, y in cloud.done + cloud.diverged]
        if min(ys) > 0:
            log_axis(axes, "y")
        axes.set_xlabel("NFE (network evaluations a sample)")
        axes.set_ylabel(distance.heading)

    return svg(plot, f"{distance.heading} against network evaluations a sample, a point a seed")


def precision_recall_plane(
    rows: Sequence[Entrant], recall: Column, precision: Column
) -> Markup | None:
    """Precision against recall; ``None`` without points. The cross is the real row."""
    clouds = _clouds(rows, recall, precision)
    if not clouds:
        return None
    real = [_point(row.records[0], recall, precision) for row in rows if row.real]

    def plot(axes: Axes) -> None:
        for point in filter(None, real):
            axes.plot(*point, marker="+", color=INK, markersize=11, markeredgewidth=1.4)
        _draw(axes, clouds)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")

    return svg(plot, "Precision against recall, a point a seed")


def _clouds(rows: Sequence[Entrant], x: Column, y: Column) -> list[_Cloud]:
    clouds = []
    for index, row in enumerate(row for row in rows if not row.real):
        points = [(record.status, _point(record, x, y)) for record in row.runs]
        done = [point for status, point in points if point and status == "done"]
        diverged = [point for status, point in points if point and status == "diverged"]
        if done or diverged:
            clouds.append(_Cloud(index, row, done, diverged, len(done) == len(points)))
    return clouds


def _point(record: Record, x: Column, y: Column) -> tuple[float, float] | None:
    at = x.read(record), y.read(record)
    return None if at[0] is None or at[1] is None else (at[0], at[1])


def _draw(axes: Axes, clouds: Sequence[_Cloud]) -> None:
    for cloud in clouds:
        colour = SERIES[series(cloud.index)]
        marker = MARKERS[series(cloud.index)]
        if cloud.done:
            x, y = zip(*cloud.done, strict=True)
            axes.plot(x, y, marker, color=colour, markersize=4, markerfacecolor="none")
        if cloud.done and cloud.whole:
            axes.plot(*cloud.mean, marker, color=colour, markersize=8, markeredgewidth=0)
        if cloud.diverged:
            axes.plot(*zip(*cloud.diverged, strict=True), "x", color=colour, markersize=7)


def _same_weights(clouds: Sequence[_Cloud]) -> list[list[tuple[float, float]]]:
    groups: dict[tuple[str, frozenset[str]], list[_Cloud]] = {}
    for cloud in clouds:
        if cloud.whole and cloud.row.trainings:
            key = cloud.row.records[0].model, frozenset(cloud.row.trainings)
            groups.setdefault(key, []).append(cloud)
    return [sorted(cloud.mean for cloud in group) for group in groups.values() if len(group) > 1]
