"""One chart as data: drawn as a part of the page, and by itself as a figure for a paper."""

from __future__ import annotations

import io
import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genbench.rendering.unseen import visible
from genbench.report.figures import SIZE, STYLE, LegendEntry, ink, look, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 3.4
"""Inches of a figure for a paper: one of its columns, so that its text is printed as it is set."""
DPI = 300
"""Of a PNG."""
LABEL_WIDTH = 40
"""Characters of a name in a legend, after which it goes on in another line."""
MOST_COLUMNS = 4
"""Of a legend."""
NAME_LENGTH = 100
"""Characters of a chart's name, which is also a file's."""

PAPER: dict[Any, Any] = {
    **STYLE,
    "font.size": 8,
    "axes.edgecolor": "#8b8f96",
    "grid.color": "#b9bcc2",
    **dict.fromkeys(("xtick.color", "ytick.color"), "#8b8f96"),
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), "#000000"
    ),
    # TrueType, whose text can be searched; publishers refuse the default, Type 3.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
}
"""Of figures for papers."""

METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {},
}
"""What a file says of itself, by format: nothing that differs from one time to the next."""


@dataclass(frozen=True)
class Chart:
    """What is drawn, and how it is called."""

    name: str
    """Lower case and hyphenated."""
    label: str
    """What it shows, in a sentence that can be said aloud."""
    plot: Callable[[Axes], None]
    """Draws it. An artist that has a label is a sign that a legend explains."""
    keys: Sequence[LegendEntry] = ()
    """The entries that are drawn; on the page, several charts share one legend."""
    size: tuple[float, float] = SIZE
    """Inches of its width and height on the page."""

    def svg(self) -> Markup:
        """As an element of the page, which has a legend of its own."""
        return svg(self.plot, self.label, self.size)

    def figure(self) -> Figure:
        """As a figure by itself, ``WIDTH`` inches wide, with its legend beneath the axes."""
        with mpl.rc_context(PAPER):
            height = self.size[1] * WIDTH / self.size[0]
            made = PaperFigure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
            FigureCanvasAgg(made)
            axes = made.add_subplot()
            self.plot(axes)
            axes.set_ylabel(visible(axes.get_ylabel()))
            for artist in made.findobj():
                artist.set_gid(None)  # by which the page gives it a title
            _add_legend(made, [*map(_handle, self.keys), *_signs(axes)])
        return made


class PaperFigure(Figure):
    """A figure that looks the same however and wherever it is saved or shown: matplotlib reads the
    style not only when it draws, but again when it writes."""

    def draw(self, renderer: Any) -> None:
        with mpl.rc_context(PAPER):
            super().draw(renderer)

    def savefig(self, fname: Any, **options: Any) -> None:
        with mpl.rc_context(PAPER):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        """In a notebook, also where pyplot is not imported."""
        return encoded(self, "png")


def encoded(figure: Figure, format: str) -> bytes:
    """The bytes of a file, equal for equal figures. ``format``: one of ``METADATA``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, metadata=METADATA[format])
    return buffer.getvalue()


def slug(text: str) -> str:
    """The text in lower case, its words joined by hyphens: ``Fréchet_distance`` is
    ``frechet-distance``. Empty if it has neither a Latin letter nor a digit."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall("[a-z0-9]+", plain))[:NAME_LENGTH].strip("-")


def wrapped(label: str, width: int = LABEL_WIDTH) -> str:
    """A name as it is shown, in lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(visible(label), width)) or visible(label)


def _handle(key: LegendEntry) -> Line2D:
    colour, marker = look(key.index)
    drawn: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": key.style or "none"}
    return Line2D([], [], markersize=5, label=wrapped(key.label), **drawn)


def _signs(axes: Axes) -> list[Line2D]:
    """What belongs to no entry, each sign once and in the colour of text."""
    found: dict[str, Line2D] = {}
    for line in axes.get_lines():
        label = str(line.get_label())
        if label.startswith("_") or label in found:  # matplotlib names what has no label
            continue
        sign = found[label] = Line2D([], [])
        sign.update_from(line)
        sign.set(label=label, color=ink(), markersize=min(line.get_markersize(), 7))
    return list(found.values())


def _add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """In as many columns as fit, below the axes, which keep their height: the figure grows."""
    if not handles:
        return
    width, height = figure.get_size_inches()
    lines = any(handle.get_linestyle() not in ("None", "none") for handle in handles)

    def added(columns: int) -> tuple[float, float]:
        """The width and height in inches of a legend, which is added."""
        for old in figure.legends:
            old.remove()
        legend = figure.legend(
            handles,
            ["-"] * len(handles),
            loc="outside lower center",
            ncols=columns,
            fontsize=7,
            frameon=False,
            handlelength=1.7 if lines else 1.0,
            handletextpad=0.5,
            columnspacing=1.0,
            labelspacing=0.35,
            borderaxespad=0.2,
        )
        # Given as they are, matplotlib would leave out names that begin with an underscore.
        for text, handle in zip(legend.get_texts(), handles, strict=True):
            text.set_text(str(handle.get_label()))
        box = legend.get_window_extent()
        return box.width / figure.dpi, box.height / figure.dpi

    columns = min(MOST_COLUMNS, len(handles))
    while added(columns)[0] > width and columns > 1:
        columns -= 1
    rows = -(-len(handles) // columns)
    taller = added(-(-len(handles) // rows))[1]  # no more columns than these rows need
    figure.set_size_inches(width, height + taller)
