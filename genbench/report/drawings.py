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

DPI = 110
"""Of a figure that becomes pixels."""


def on_page(drawing: Drawing, label: str) -> Markup:
    """An ``<svg>`` of a figure, an ``<img>`` of a picture, that says ``label`` aloud."""
    if isinstance(drawing, Figure):
        return svg(drawing.plot, label, drawing.size)
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        '<img class="grid" src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    ).format(data, label, *drawing.size)


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
