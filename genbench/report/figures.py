"""Matplotlib figures as inline SVG that takes the page's fonts and its light or dark colours."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from genbench.api import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

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

CROWD = 12
"""Lines of a chart, above which they are drawn thin and with fewer points."""

LOG_RATIO = 20.0
"""Values that span more than this are drawn on a logarithmic axis."""

SIZE = (4.4, 3.1)
"""Inches of a figure: narrow enough to be read on a telephone at its own scale."""

_NAMED = "named-"

STYLE: dict[Any, Any] = {
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
"""Of the charts of the page, with its placeholders."""


REAL_SAMPLES = "real samples"
"""What a legend calls the real row."""

LINE_STYLES = {"-": "", "--": " (dashed)", ":": " (dotted)", "-.": " (dash-dotted)"}
"""Of lines, and how the page's legend, which draws none, says it."""


@dataclass(frozen=True)
class LegendEntry:
    """An entry in a legend."""

    label: str
    index: int
    """Of its colour and mark, from 0."""
    style: str = ""
    """Of its line, one of ``LINE_STYLES``; empty where it has marks alone."""

    @property
    def series(self) -> int:
        """1-based, as the style sheet counts."""
        return self.index % len(SERIES) + 1

    @property
    def glyph(self) -> str:
        """Its mark, as a character."""
        return GLYPHS[_shape(self.index)]

    @property
    def said(self) -> str:
        """The label, and in words how its line is drawn."""
        return self.label + LINE_STYLES.get(self.style, "")


def ink() -> str:
    """The colour of text, of whatever belongs to no entry: on the page a placeholder."""
    return str(mpl.rcParams["text.color"])


def look(index: int) -> tuple[str, str]:
    """The colour and the marker of the index-th entry, from 0: no two of 64 have both in common."""
    return SERIES[index % len(SERIES)], MARKERS[_shape(index)]


def _shape(index: int) -> int:
    return (index + index // len(SERIES)) % len(MARKERS)


def named(lines: Iterable[Line2D], name: str) -> None:
    """Let the page say ``name`` where a pointer rests on them."""
    for line in lines:
        line.set_gid(_NAMED + quote(name, safe=""))


def mark_outcome(
    axes: Axes, at: tuple[float, float], name: str, status: str, colour: str | None = None
) -> None:
    """The mark of a run without a good result: a cross if it diverged, of that ``colour`` or of
    text; a ring around its entry's marker if it collapsed or was not trained."""
    if status == "diverged":
        cross: dict[str, Any] = {"color": colour or ink(), "markersize": 7, "label": status}
        named(axes.plot(*at, "x", **cross), f"{name}, {status}")
    elif status in ("collapsed", "not trained"):
        ring: dict[str, Any] = {
            "label": status,
            "color": ink(),
            "markersize": 9,
            "markerfacecolor": "none",
            "markeredgewidth": 0.9,
        }
        named(axes.plot(*at, "o", **ring), f"{name}, {status}")


def svg(plot: Callable[[Axes], None], label: str, size: tuple[float, float] = SIZE) -> Markup:
    """The figure that ``plot`` draws, as an ``<svg>`` element that says ``label`` aloud.

    Equal figures give equal text.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.add_subplot())
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), label)


def log_axis(axes: Axes, which: str, prefixed: bool = False, sparse: bool = False) -> None:
    """A logarithmic axis whose ticks are plain numbers: 1, 2, 5, 10, …, or evenly spaced ones where
    little is spanned; 1 G, 2 G, … where they are ``prefixed``; 1, 3, 10, … where ``sparse``."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_data_interval()
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    narrow = high < 4 * low
    axis.set_major_locator(
        MaxNLocator(4 if sparse else 5, steps=(1, 2, 5, 10))
        if narrow
        else LogLocator(subs=(1, 3) if sparse else (1, 2, 5), numticks=5 if sparse else 9)
    )
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    axis.set_major_formatter(EngFormatter() if prefixed else plain)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def thousands(axes: Axes) -> None:
    """An x axis of example counts, as 20k."""
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}")
    )


def _inline(text: str, label: str) -> Markup:
    text = text[text.index("<svg") :]
    head, _, body = text.partition(">")
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(rf'<g id="{_NAMED}([^"]*)">', _title, body)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = body.replace("xlink:href", "href")
    # What is left is referred to from within the figure, and must not meet another's on the page.
    prefix = f"f{hashlib.sha256((label + body).encode()).hexdigest()[:8]}-"
    found = dict.fromkeys(re.findall(r'<(?:path|clipPath) id="([^"]*)"', body))
    names = {name: f"{prefix}{number}" for number, name in enumerate(found)}
    body = re.sub(r'(id="|#)([\w-]+)', lambda m: m[1] + names.get(m[2], m[2]), body)
    body = _slim(body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    for number, colour in enumerate(SERIES, start=1):
        body = body.replace(colour, f"var(--s{number})")
    body = body.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return Markup(
        f'<svg class="chart" {view.group()} role="img" aria-label="{escape(label)}">{body}'
    )


def _title(group: re.Match[str]) -> str:
    return f"<g><title>{escape(unquote(group[1]))}</title>"


def _slim(body: str) -> str:
    """The same picture in less text: numbers to a tenth of a point, of markers to a hundredth;
    what the marks of a line have in common said once."""
    body = re.sub(r'<path( id="[^"]*")? d="([^"]*)"', _slim_path, body)
    body = re.sub(r' (x|y)="([\d.]+)"', lambda m: f' {m[1]}="{_rounded(m[2], 1)}"', body)
    return re.sub(r"(<g[^>]*)>((?:\s*<use [^>]*/>){2,})\s*</g>", _slim_marks, body)


def _slim_path(path: re.Match[str]) -> str:
    identity, digits = path[1] or "", 2 if path[1] else 1
    made, last = [], ""
    for command, numbers in re.findall(r"([MLQCz])([^MLQCz]*)", path[2]):
        pairs = " ".join(_rounded(number, digits) for number in numbers.split())
        # After a move or a line, further pairs are lines.
        made.append(pairs if command == "L" and last in ("M", "L") else command + pairs)
        last = command
    return f'<path{identity} d="{" ".join(made)}"'


def _slim_marks(group: re.Match[str]) -> str:
    styles = set(re.findall(r' style="[^"]*"', group[2]))
    if len(styles) != 1:
        return group[0]
    (style,) = styles
    return f"{group[1]}{style}>{group[2].replace(style, '')}\n</g>"


def _rounded(number: str, digits: int) -> str:
    return f"{float(number):.{digits}f}".rstrip("0").rstrip(".")
