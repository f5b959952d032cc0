"""The headline score of each entry as a small bar: its mean and interval, or its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from markupsafe import Markup

from genbench.analysis.columns import Quantity, known_outputs
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.analysis.statistics import (
    LEAST_FOR_INTERVAL,
    LEVEL,
    centre,
    is_ratio_scale,
    mean_interval,
)
from genbench.report.figures import LOG_RATIO, key, look
from genbench.report.floor import place_of, within_reach

WIDTH, HEIGHT = 132, 16
EDGE = 7.0
"""Units that are kept free at either end, for the marks."""
REACH = 1.0
"""How far beyond what has a mark, in parts of its range, an interval may stretch the scale; a
longer one runs into the edge."""
RADIUS = 3.6
"""Of a mark."""


@dataclass(frozen=True)
class Bars:
    """The bars of some entries, on one scale."""

    pictures: Mapping[tuple[str, str], Markup]
    """By the label of the row and the key of the score."""
    said: str
    """How to read them."""


@dataclass(frozen=True)
class _Runs:
    label: str
    values: list[float]
    middle: float
    interval: tuple[float, float] | None
    """``None``: too few seeds, or a run without the score."""
    geometric: bool
    """Whether ``middle`` is the geometric mean."""


def bars(rows: Sequence[EntryRuns], score: Quantity, colours: Mapping[str, int]) -> Bars | None:
    """Bars of all ``rows`` with a score; ``None`` if there is no entry among them with one."""
    found = [runs for row in rows if not row.is_baseline and (runs := _runs(row, score))]
    if not found:
        return None
    real = real_baseline(rows)
    floor = None if real is None else score.read(real)
    shown = _shown(found)
    logarithmic = min(shown) > 0 and max(shown) > LOG_RATIO * min(shown)
    ends = _ends(found, floor, logarithmic)
    at = _scale(*ends, logarithmic)
    edge = "" if floor is None else place_of(floor, *ends)
    below = Markup("") if floor is None else _floor(at, floor, edge)
    pictures = {
        (runs.label, score.key): _svg(below + _marks(runs, at, colours[runs.label]), _aloud(runs))
        for runs in found
    }
    if floor is not None:
        for row in rows:
            if row.real:
                pictures[row.label, score.key] = _svg(below, f"real: {floor:.3g}")
    return Bars(pictures, _said(found, ends, floor, edge, logarithmic))


def _runs(row: EntryRuns, score: Quantity) -> _Runs | None:
    of_all = [run.outcome(score.key).value for run in row.runs]
    values = [value for value in of_all if value is not None and math.isfinite(value)]
    if not values:
        return None
    output = known_outputs(row.records).get(score.key)
    minimum = None if output is None else output.minimum
    whole = len(values) == len(of_all)
    interval = mean_interval(values, minimum=minimum) if whole else None
    geometric = is_ratio_scale(values, minimum)
    return _Runs(row.label, values, centre(values, minimum), interval, geometric)


def _shown(found: Sequence[_Runs]) -> list[float]:
    """What has a mark: means, and the seeds that are ticks; all seeds of an entry alone."""
    if len(found) == 1:
        return found[0].values
    return [v for runs in found for v in (runs.values if runs.interval is None else [runs.middle])]


def _ends(found: Sequence[_Runs], floor: float | None, logarithmic: bool) -> tuple[float, float]:
    """Of the scale."""
    there: Callable[[float], float] = math.log if logarithmic else float
    back: Callable[[float], float] = math.exp if logarithmic else float
    shown = list(map(there, _shown(found)))
    low, high = min(shown), max(shown)
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
    return back(low), back(high)


def _scale(low: float, high: float, logarithmic: bool) -> Callable[[float], float]:
    """Where a value stands, in units of the picture; at an edge for what is beyond it."""

    def at(value: float) -> float:
        if logarithmic:
            share = math.log(max(value, low) / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return EDGE + (WIDTH - 2 * EDGE) * min(max(share, 0.0), 1.0)

    return at


def _floor(at: Callable[[float], float], floor: float, edge: str) -> Markup:
    """The real row: a dashed line, or an arrow at the edge beyond which it lies."""
    if not edge:
        return Markup('<path class="floor" d="M{:.1f} 0V{}"/>').format(at(floor), HEIGHT)
    tip, side = (0.5, 5) if edge == "below" else (WIDTH - 0.5, WIDTH - 5)
    middle = HEIGHT / 2
    return Markup('<path class="beyond" d="M{:g} {:g}L{:g} {:g}V{:g}z"/>').format(
        tip, middle, side, middle - 3.5, middle + 3.5
    )


def _marks(runs: _Runs, at: Callable[[float], float], index: int) -> Markup:
    marker = look(index)[1]
    middle = HEIGHT / 2
    if runs.interval is None:
        ticks = "".join(f"M{at(v):.1f} {middle - 5:g}v10" for v in runs.values)
        drawn = Markup('<path class="seeds" d="{}"/>').format(ticks)
    else:
        low, high = map(at, runs.interval)
        drawn = Markup('<path class="interval" d="M{:.1f} {:g}H{:.1f}"/>').format(low, middle, high)
    if runs.interval is not None or len(runs.values) > 1:
        drawn += Markup('<path class="mark" transform="translate({:.1f} {:g})" d="{}"/>').format(
            at(runs.middle), middle, _shape(marker)
        )
    return Markup('<g class="s{}">{}</g>').format(key(runs.label, index).series, drawn)


@cache
def _shape(marker: str) -> str:
    """A marker of the figures around the origin."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    corners = np.array(style.get_path().transformed(style.get_transform()).to_polygons()[0])
    size = RADIUS / abs(corners).max()
    return "M" + "L".join(f"{size * x:.1f} {-size * y:.1f}" for x, y in corners) + "z"


def _svg(drawn: Markup, label: str) -> Markup:
    return Markup(
        '<svg class="bar" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, label, drawn)


def _aloud(runs: _Runs) -> str:
    if runs.interval is None:
        return f"seeds: {', '.join(f'{value:.3g}' for value in runs.values)}"
    low, high = runs.interval
    return f"{runs.middle:.3g}, {LEVEL:.0%} interval from {low:.3g} to {high:.3g}"


def _said(
    found: Sequence[_Runs],
    ends: tuple[float, float],
    floor: float | None,
    edge: str,
    logarithmic: bool,
) -> str:
    low, high = ends
    intervals = sum(runs.interval is not None for runs in found)
    mean = "geometric mean" if all(runs.geometric for runs in found) else "mean"
    parts = [f"the {mean} and its {LEVEL:.0%} interval over seeds"] if intervals else []
    if intervals < len(found):
        few = f"fewer than {LEAST_FOR_INTERVAL} seeds, or a lost run, allow no interval"
        parts.append(f"ticks are the seeds where {few}")
    scale = f"from {low:.3g} to {high:.3g}{', logarithmic' if logarithmic else ''}"
    said = f"Bars: {'; '.join(parts)}; {scale}."
    if floor is None:
        return said
    real = f"an arrow, since they lie {edge} the scale" if edge else "the dashed line"
    return f"{said} Real samples ({floor:.3g}) are {real}."
