"""Sample files → drawings, by their modality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup
from safetensors import SafetensorError, safe_open

from genbench import modalities, store
from genbench.api import Figure, Frames, SampleSpec, Shown
from genbench.api.errors import DataError
from genbench.report.drawings import on_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 9
"""Samples of a small picture that shows them one by one."""
IN_A_ROW = 10
"""Samples of a row that shows them one by one."""
SMALL = 128
"""Pixels of its side."""
SHOWN = 64
"""Samples that are read of a modality which nobody has registered."""


def read_preview(path: Path) -> Shown:
    """The first samples of a safetensors file. Raises ``DataError`` that says what is missing,
    ``store.Damaged``."""
    if store.read_artefact(path) is None:
        raise DataError(f"{path.name}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            said = file.metadata() or {}
            stored = file.get_slice("samples")
            count, *shape = stored.get_shape()
            levels, rate = said.get("levels", ""), said.get("rate")
            spec = SampleSpec(
                said.get("modality", ""),
                tuple(shape),
                int(levels) if levels.isdigit() else None,
                rate=None if rate is None else float(rate),
            )
            found = modalities.find(spec)
            data = stored[: min(SHOWN if found is None else found.previewed, count)]
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    return Shown(data, spec)


def picture(samples: Shown, label: str, first: Shown) -> Markup:
    """Some samples as an element of the page. Raises ``DataError`` for what has no picture.

    ``first``: those of the first entry on the page.
    """
    found = modalities.require(samples.spec)
    if len(samples.data) == 0:
        raise DataError("no samples")
    return on_page(found.preview(samples, first), label)


def small_picture(samples: Shown, label: str, first: Shown) -> Markup:
    """Only ``FEW`` of them, where a picture shows samples one by one; all in one figure, without
    its axes, where each is a mark. Raises as ``picture`` does."""
    found = modalities.require(samples.spec)
    if len(samples.data) == 0:
        raise DataError("no samples")
    drawing = found.preview(samples, first)
    if not isinstance(drawing, Figure):
        few = Shown(samples.data[:FEW], samples.spec)
        return on_page(found.preview(few, first), label, SMALL)

    def plot(axes: Axes) -> None:
        drawing.plot(axes)
        axes.set_axis_off()

    return on_page(Figure(plot, drawing.size), label)


def one_by_one(samples: Shown, label: str) -> Markup | None:
    """A row of ``IN_A_ROW`` samples; ``None`` where the modality does not show each for itself, as
    it does beside its neighbour."""
    found = modalities.require(samples.spec)
    if found.pairs is None or found.strip is None or len(samples.data) == 0:
        return None
    # The strip of a trajectory that has one sample at each step.
    row = Frames("reverse", samples.data[:IN_A_ROW, None], samples.spec)
    return on_page(found.strip(row, True), label)
