"""Matplotlib figures as inline SVG that takes the page's fonts and its light or dark colours."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"
RULE = "#040506"
SERIES = (
    "#2563a8",
    "#c4501b",
    "#2a7f4f",
    "#8a4fa8",
    "#a87900",
    "#1f8a9c",
    "#b03a6e",
    "#5d6066",
)
"""Drawn with these, which the page then exchanges for its own ``--s1 … --s8``."""

MARKERS = ("o", "s", "^", "D", "v", "P", "p", "h")
GLYPHS = ("●", "■", "▲", "◆", "▼", "✚", "⬟", "⬢")
"""The same markers in a legend. Shape tells apart what colour alone may not."""

SIZE = (4.4, 3.1)
"""Inches of a figure: narrow enough to be read on a telephone at its own scale."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "genbench",
    # A name with a dollar sign is a name.
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.3,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Key:
    """An entry in a legend."""

    label: str
    series: int
    """1-based, as the style sheet counts."""
    glyph: str


def key(label: str, index: int) -> Key:
    """The legend of the index-th entry, from 0."""
    return Key(label, series(index) + 1, GLYPHS[series(index)])


def series(index: int) -> int:
    """Which of the series' colours and markers the index-th entry has, from 0."""
    return index % len(SERIES)


def svg(plot: Callable[[Axes], None], label: str, size: tuple[float, float] = SIZE) -> Markup:
    """The figure that ``plot`` draws, as an ``<svg>`` element that says ``label`` aloud.

    Equal figures give equal text.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.add_subplot())
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), label)


def log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis whose ticks are plain numbers: 1, 2, 5, 10, …"""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def thousands(axes: Axes) -> None:
    """An x axis of image counts, as 20k."""
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}")
    )


def _inline(text: str, label: str) -> Markup:
    text = text[text.index("<svg") :]
    head, _, body = text.partition(">")
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    # What is left is referred to from within the figure, and must not meet another's on the page.
    prefix = f"f{hashlib.sha256((label + body).encode()).hexdigest()[:8]}-"
    body = re.sub(r'<(path|clipPath) id="', rf'<\1 id="{prefix}', body)
    body = body.replace('xlink:href="#', f'href="#{prefix}').replace("url(#", f"url(#{prefix}")
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    for number, colour in enumerate(SERIES, start=1):
        body = body.replace(colour, f"var(--s{number})")
    body = body.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return Markup(
        f'<svg class="chart" {view.group()} role="img" aria-label="{escape(label)}">{body}'
    )
