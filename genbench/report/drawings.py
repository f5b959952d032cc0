"""What a modality draws → elements of the page, and files."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from markupsafe import Markup

from genbench.api import Drawing, Figure
from genbench.report.figures import svg

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = 256
DPI = 110
"""Of a figure that becomes pixels."""


def on_page(drawing: Drawing, label: str, most: int | None = None) -> Markup:
    """An ``<svg>`` of a figure, an ``<img>`` of a picture, that says ``label`` aloud.

    ``most``: pixels of a side to which a picture is reduced that is only glanced at; its colours
    then are at most ``COLOURS``.
    """
    if isinstance(drawing, Figure):
        return svg(drawing.plot, label, drawing.size)
    if most is not None:
        drawing = _reduced(drawing, most)
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        '<img class="grid" src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    ).format(data, label, *drawing.size)


def _reduced(picture: Image, most: int) -> Image:
    reduced = picture.copy()
    reduced.thumbnail((most, most))
    # A third of the bytes, where a picture has more colours than that.
    return reduced if reduced.getcolors(COLOURS) else reduced.quantize(COLOURS)


def png(drawing: Drawing) -> bytes:
    """The same as a PNG file."""
    buffer = io.BytesIO()
    if isinstance(drawing, Figure):
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=drawing.size, dpi=DPI, layout="constrained")
        drawing.plot(canvas.add_subplot())
        canvas.savefig(buffer, format="png", facecolor="white")
    else:
        drawing.save(buffer, "PNG")
    return buffer.getvalue()


def pixels(drawing: Drawing) -> Image:
    """The same as an opaque picture: GIF knows no half transparency."""
    from PIL.Image import alpha_composite, new, open

    picture = open(io.BytesIO(png(drawing))) if isinstance(drawing, Figure) else drawing
    white = new("RGBA", picture.size, "white")
    return alpha_composite(white, picture.convert("RGBA")).convert("RGB")
