"""The headline score of the entries over their seeds: means and intervals, all on one scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genbench.analysis.columns import Quantity, known_outputs
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.analysis.statistics import (
    LEAST_FOR_INTERVAL,
    LEVEL,
    centre,
    is_ratio_scale,
    mean_interval,
)
from genbench.report.chart import WIDTH, Chart, wrapped
from genbench.report.figures import LOG_RATIO, REAL_SAMPLES, ink, log_axis, look
from genbench.report.floor import place_of, within_reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 1.0
"""How far beyond what has a mark, in parts of its range, an interval may stretch the scale; a
longer one runs into the edge."""
LINE = 0.16
"""Inches of a line of names."""
NAME_WIDTH = 26
"""Characters of a name before its next line."""


@dataclass(frozen=True)
class SeedScores:
    """The scores of an entry's runs."""

    label: str
    values: list[float]
    middle: float
    interval: tuple[float, float] | None
    """``None``: too few seeds, or a run without the score."""
    geometric: bool
    """Whether ``middle`` is the geometric mean."""


@dataclass(frozen=True)
class Scale:
    """What the marks of some entries are drawn on."""

    low: float
    high: float
    logarithmic: bool


def seed_scores(row: EntryRuns, score: Quantity) -> SeedScores | None:
    """Of the runs that have a finite score; ``None`` without any."""
    of_all = [run.outcome(score.key).value for run in row.runs]
    values = [value for value in of_all if value is not None and math.isfinite(value)]
    if not values:
        return None
    output = known_outputs(row.records).get(score.key)
    minimum = None if output is None else output.minimum
    whole = len(values) == len(of_all)
    interval = mean_interval(values, minimum=minimum) if whole else None
    geometric = is_ratio_scale(values, minimum)
    return SeedScores(row.label, values, centre(values, minimum), interval, geometric)


def scale_of(found: Sequence[SeedScores], floor: float | None) -> Scale:
    """The scale that shows all of them, and the ``floor`` if it is not far from them."""
    shown = _shown(found)
    logarithmic = min(shown) > 0 and max(shown) > LOG_RATIO * min(shown)
    there: Callable[[float], float] = math.log if logarithmic else float
    back: Callable[[float], float] = math.exp if logarithmic else float
    places = list(map(there, shown))
    low, high = min(places), max(places)
    span = (high - low) or abs(high) or 1.0
    limits = low - REACH * span, high + REACH * span
    for runs in found:
        for end in runs.interval or ():
            if not logarithmic or end > 0:
                place = min(max(there(end), limits[0]), limits[1])
                low, high = min(low, place), max(high, place)
    if low == high:
        low, high = low - span / 2, high + span / 2
    if floor is not None and (not logarithmic or floor > 0):
        at = there(floor)
        if within_reach(at, low, high):
            low, high = min(low, at), max(high, at)
    return Scale(back(low), back(high), logarithmic)


def _shown(found: Sequence[SeedScores]) -> list[float]:
    """What has a mark: means, and the seeds that are ticks; all seeds of an entry alone."""
    if len(found) == 1:
        return found[0].values
    return [v for runs in found for v in (runs.values if runs.interval is None else [runs.middle])]


def how_drawn(found: Sequence[SeedScores]) -> str:
    """What the marks are, in words."""
    intervals = sum(runs.interval is not None for runs in found)
    mean = "geometric mean" if all(runs.geometric for runs in found) else "mean"
    parts = [f"the {mean} and its {LEVEL:.0%} interval over seeds"] if intervals else []
    if intervals < len(found):
        few = f"fewer than {LEAST_FOR_INTERVAL} seeds, or a lost run, allow no interval"
        parts.append(f"ticks are the seeds where {few}")
    return "; ".join(parts)


def intervals_chart(
    rows: Sequence[EntryRuns], score: Quantity, colours: Mapping[str, int]
) -> Chart | None:
    """All entries of ``rows``, in their order, a line each: of one without the score, what became
    of its runs. ``None`` if no entry has the score."""
    entries = [(row, seed_scores(row, score)) for row in rows if not row.is_baseline]
    found = [runs for _, runs in entries if runs is not None]
    if not found:
        return None
    real = real_baseline(rows)
    floor = None if real is None else score.read(real)
    scale = scale_of(found, floor)
    names = [wrapped(row.label, NAME_WIDTH) for row, _ in entries]
    lines = [1 + name.count("\n") for name in names]
    places = [-(sum(lines[:i]) + lines[i] / 2) for i in range(len(lines))]

    def plot(axes: Axes) -> None:
        axes.plot([scale.low, scale.high], [0, 0], alpha=0)  # by which the axis chooses its ticks
        if scale.logarithmic:
            log_axis(axes, "x", sparse=True)
        for (row, runs), place in zip(entries, places, strict=True):
            if runs is None:
                _nothing(axes, place, _fates(row, real))
            else:
                _marks(axes, place, runs, scale, *look(colours[row.label]))
        if floor is not None:
            _floor(axes, floor, scale)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-sum(lines), 0)
        axes.set_xlabel(score.heading)

    said = f"{score.heading} of each entry: {how_drawn(found)}"
    return Chart("intervals", said, plot, size=(WIDTH, LINE * sum(lines) + 0.6))


def _marks(
    axes: Axes, place: float, runs: SeedScores, scale: Scale, colour: str, marker: str
) -> None:
    """As in a table of the page: the mean on its interval, or ticks of the seeds."""
    if runs.interval is None:
        axes.plot(runs.values, [place] * len(runs.values), "|", color=colour, markersize=8)
    else:
        low, high = max(runs.interval[0], scale.low), min(runs.interval[1], scale.high)
        axes.plot([low, high], [place, place], color=colour)
        for end, edge, arrow in ((runs.interval[0], low, "<"), (runs.interval[1], high, ">")):
            if end != edge:
                axes.plot(edge, place, arrow, color=colour, markersize=4)
    if runs.interval is not None or len(runs.values) > 1:
        axes.plot(runs.middle, place, marker, color=colour, markersize=5.5, markeredgewidth=0)


def _nothing(axes: Axes, place: float, said: str) -> None:
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(0.02, place, said, fontsize="small", style="italic", bbox=paper, **beside)


def _fates(row: EntryRuns, real: Any) -> str:
    counts = Counter(record.outcome(real=real).status for record in row.records)
    return ", ".join(
        status if count == 1 else f"{count} {status}" for status, count in counts.items()
    )


def _floor(axes: Axes, floor: float, scale: Scale) -> None:
    """The real row: a dashed line, or how far it lies beyond the scale."""
    beyond = place_of(floor, scale.low, scale.high)
    if not beyond:
        line: dict[str, Any] = {"linewidth": 0.8, "linestyle": "--", "alpha": 0.7}
        axes.axvline(floor, color=ink(), label=REAL_SAMPLES, **line)
        return
    left = beyond == "below"
    said = f"← real: {floor:.3g}" if left else f"real: {floor:.3g} →"
    x, side = (0, "left") if left else (1, "right")
    axes.text(x, 1.02, said, transform=axes.transAxes, ha=side, va="bottom", fontsize="small")
