"""The headline score of each entry as a small bar: its mean and interval, or its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from markupsafe import Markup

from genbench.analysis.columns import Quantity
from genbench.analysis.entry_runs import EntryRuns, real_baseline
from genbench.analysis.statistics import LEVEL
from genbench.report.figures import LegendEntry, look
from genbench.report.floor import place_of
from genbench.report.intervals import Scale, SeedScores, how_drawn, scale_of, seed_scores

WIDTH, HEIGHT = 132, 16
EDGE = 7.0
"""Units that are kept free at either end, for the marks."""
RADIUS = 3.6
"""Of a mark."""


@dataclass(frozen=True)
class Bars:
    """The bars of some entries, on one scale."""

    pictures: Mapping[tuple[str, str], Markup]
    """By the label of the row and the key of the score."""
    said: str
    """How to read them."""


def bars(rows: Sequence[EntryRuns], score: Quantity, colours: Mapping[str, int]) -> Bars | None:
    """Bars of all ``rows`` with a score; ``None`` if there is no entry among them with one."""
    found = [runs for row in rows if not row.is_baseline and (runs := seed_scores(row, score))]
    if not found:
        return None
    real = real_baseline(rows)
    floor = None if real is None else score.read(real)
    scale = scale_of(found, floor)
    at = _places(scale)
    edge = "" if floor is None else place_of(floor, scale.low, scale.high)
    below = Markup("") if floor is None else _floor(at, floor, edge)
    pictures = {
        (runs.label, score.key): _svg(below + _marks(runs, at, colours[runs.label]), _aloud(runs))
        for runs in found
    }
    if floor is not None:
        for row in rows:
            if row.real:
                pictures[row.label, score.key] = _svg(below, f"real: {floor:.3g}")
    return Bars(pictures, _said(found, scale, floor, edge))


def _places(scale: Scale) -> Callable[[float], float]:
    """Where a value stands, in units of the picture; at an edge for what is beyond it."""
    low, high = scale.low, scale.high

    def at(value: float) -> float:
        if scale.logarithmic:
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


def _marks(runs: SeedScores, at: Callable[[float], float], index: int) -> Markup:
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
    return Markup('<g class="s{}">{}</g>').format(LegendEntry(runs.label, index).series, drawn)


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


def _aloud(runs: SeedScores) -> str:
    if runs.interval is None:
        return f"seeds: {', '.join(f'{value:.3g}' for value in runs.values)}"
    low, high = runs.interval
    return f"{runs.middle:.3g}, {LEVEL:.0%} interval from {low:.3g} to {high:.3g}"


def _said(found: Sequence[SeedScores], scale: Scale, floor: float | None, edge: str) -> str:
    span = f"from {scale.low:.3g} to {scale.high:.3g}{', logarithmic' if scale.logarithmic else ''}"
    said = f"Bars: {how_drawn(found)}; {span}."
    if floor is None:
        return said
    real = f"an arrow, since they lie {edge} the scale" if edge else "the dashed line"
    return f"{said} Real samples ({floor:.3g}) are {real}."
