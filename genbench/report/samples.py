"""Sample files → pictures: grids of images, clouds of points."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from genbench import store
from genbench.api.errors import DataError
from genbench.report.figures import INK, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

GRID_PIXELS = 256
"""About the side of a grid in its own pixels; the page shows them enlarged, as squares."""

TILE_PIXELS = 64
"""Larger images are reduced to this side."""

MAX_TILES = 64
POINTS = 400
"""Points of a cloud that are drawn."""


@dataclass(frozen=True)
class Preview:
    """The first samples of a file."""

    data: NDArray[Any]
    """``(n, *shape)`` in the stored view."""
    modality: str
    levels: int | None


def read_preview(path: Path) -> Preview:
    """The first samples of a safetensors file. Raises ``DataError`` that says what is missing,
    ``store.Damaged``."""
    if store.read_artefact(path) is None:
        raise DataError(f"{path.name}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            count = MAX_TILES if metadata.get("modality") == "image" else POINTS
            stored = file.get_slice("samples")
            data = stored[: min(count, stored.get_shape()[0])]
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    levels = metadata.get("levels", "")
    return Preview(data, metadata.get("modality", ""), int(levels) if levels.isdigit() else None)


def limits(preview: Preview) -> tuple[float, float] | None:
    """The range of the first two coordinates of finite points, so that clouds can share it."""
    if preview.modality != "points" or math.prod(preview.data.shape[1:]) < 2:
        return None
    points = plane(preview)
    finite = points[np.isfinite(points).all(axis=1)]
    if len(finite) == 0:
        return None
    reach = 1.15 * float(np.abs(finite).max())
    return -reach, reach


def picture(preview: Preview, label: str, within: tuple[float, float] | None) -> Markup:
    """An ``<img>`` or ``<svg>`` of some samples. Raises ``DataError`` for what has no picture.

    ``within``: the range of both axes of a cloud of points.
    """
    if preview.modality == "points":
        return _cloud(preview, label, within)
    if preview.modality == "image" and preview.data.ndim == 4 and len(preview.data):
        return _grid(preview, label)
    shape = "×".join(str(side) for side in preview.data.shape[1:])
    raise DataError(f"no picture of samples of modality {preview.modality!r} and shape {shape}")


def _grid(preview: Preview, label: str) -> Markup:
    images = [tile(sample, preview.levels) for sample in preview.data[:MAX_TILES]]
    width, height = images[0].size
    across = max(1, min(math.isqrt(len(images)), GRID_PIXELS // (max(width, height) + 1)))
    rows = [images[start : start + across] for start in range(0, across**2, across)]
    return embedded(sheet([row for row in rows if row]), label)


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Tiles of one size in rows, a transparent pixel apart; as high as there are rows."""
    from PIL import Image

    width, height = rows[0][0].size
    whole = max(map(len, rows)) * (width + 1) - 1, len(rows) * (height + 1) - 1
    made = Image.new("RGBA", whole, (0, 0, 0, 0))
    for row, tiles in enumerate(rows):
        for column, image in enumerate(tiles):
            made.paste(image, (column * (width + 1), row * (height + 1)))
    return made


def embedded(image: Image, label: str) -> Markup:
    """An ``<img>`` that carries its picture."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        '<img class="grid" src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    ).format(data, label, *image.size)


def tile(sample: NDArray[Any], levels: int | None, side: int = TILE_PIXELS) -> Image:
    """``(C, H, W)`` in the stored view: grey or RGB; of other channel counts the first is shown.
    Reduced to ``side`` pixels."""
    from PIL import Image

    shown = sample if sample.shape[0] == 3 else sample[:1]
    unit = (shown + 1) / 2 if levels is None else shown / (levels - 1)
    array = (255 * np.nan_to_num(unit).clip(0, 1)).round().astype(np.uint8)
    image = Image.fromarray(array[0] if len(array) == 1 else np.moveaxis(array, 0, -1).copy())
    if max(image.size) > side:
        image.thumbnail((side, side))
    return image


def _cloud(preview: Preview, label: str, within: tuple[float, float] | None) -> Markup:
    points = plane(preview)

    def plot(axes: Axes) -> None:
        axes.plot(points[:, 0], points[:, 1], ".", color=INK, markersize=2.5, markeredgewidth=0)
        if within is not None:
            axes.set_xlim(within)
            axes.set_ylim(within)
        axes.set_aspect("equal")
        axes.locator_params(nbins=4)

    return svg(plot, label, size=(2.6, 2.6))


def plane(preview: Preview) -> NDArray[np.float64]:
    """The first two coordinates, ``(n, 2)``."""
    flat = preview.data.reshape(len(preview.data), -1).astype(np.float64)
    if flat.shape[1] < 2:
        raise DataError("no picture of points with one coordinate")
    return flat[:, :2]
