"""Passages → strips and animations: data dissolving into noise, noise becoming data."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from genbench import store
from genbench.api.errors import DataError
from genbench.report.figures import INK, svg
from genbench.report.samples import TILE_PIXELS, Preview, embedded, limits, plane, sheet, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

TITLES = {
    "forward": "data → noise",
    "reverse": "noise → samples",
    "walk": "a walk through the noise",
}
SIDE = 64
"""Pixels of a tile in a file, at the least."""
MILLISECONDS = 80
"""Of a frame of an animation; the last one stays for as long as ``PAUSE`` of them."""
PAUSE = 18
STRIP = 10
"""Frames of a strip."""
STRIP_SIDE = 32
"""Pixels of a tile on the page, at the most: noise cannot be compressed, and a strip has sixty."""
ACROSS = 5
"""Clouds of points in a row: more would be too small to be read."""


@dataclass(frozen=True)
class Frames:
    """A trajectory, ready to be drawn."""

    kind: str
    data: NDArray[Any]
    """``(F, n, *shape)`` in the stored view."""
    modality: str
    levels: int | None

    def some(self, count: int) -> Frames:
        """At most ``count`` of them, evenly spaced, the first and the last among them."""
        count = min(count, len(self.data))
        last = len(self.data) - 1
        chosen = [round(last * step / max(1, count - 1)) for step in range(count)]
        return Frames(self.kind, self.data[chosen], self.modality, self.levels)

    def each(self) -> list[Preview]:
        return [Preview(frame, self.modality, self.levels) for frame in self.data]


def read_frames(path: Path) -> Frames:
    """The trajectory in a safetensors file. Raises ``DataError`` where there is none,
    ``store.Damaged``."""
    artefact = store.read_artefact(path)
    if artefact is None:
        raise DataError(f"{path.name}: no such file")
    data, metadata = artefact
    try:
        frames = load(data)["frames"]
        said = metadata["modality"], metadata["levels"]
    except (KeyError, SafetensorError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    return Frames(metadata["kind"], frames, *said)


def strip_on_page(frames: Frames, label: str) -> Markup:
    """An ``<img>``, a row a sample and a column a frame; or an ``<svg>`` of clouds, a frame each,
    row by row. Raises ``DataError`` for what has no picture."""
    frames = frames.some(STRIP)
    if _are_points(frames):
        rows, columns = _grid_of(len(frames.data))
        return svg(_clouds(frames.each()), label, size=(1.2 * columns, 1.2 * rows))
    return embedded(_rows(frames, STRIP_SIDE), label)


def strip_png(frames: Frames) -> bytes:
    """The same as a PNG file."""
    frames = frames.some(STRIP)
    if _are_points(frames):
        rows, columns = _grid_of(len(frames.data))
        return _drawn(_clouds(frames.each()), (1.6 * columns, 1.6 * rows))
    buffer = io.BytesIO()
    _enlarged(_rows(frames, TILE_PIXELS), frames).save(buffer, "PNG")
    return buffer.getvalue()


def animation_gif(frames: Frames) -> bytes:
    """A GIF that runs through all frames, rests, and begins again."""
    if _are_points(frames):
        within = _reach(frames.each())
        drawn = [_drawn(_clouds([frame], within), (3.2, 3.2)) for frame in frames.each()]
        pictures = [_opened(png) for png in drawn]
    else:
        pictures = [_enlarged(_grid(frame), frames) for frame in frames.each()]
    pause = 1 if frames.kind == "walk" else PAUSE
    durations = [MILLISECONDS] * (len(pictures) - 1) + [MILLISECONDS * pause]
    first, *others = [_on_white(picture) for picture in pictures]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()


def _are_points(frames: Frames) -> bool:
    if frames.modality == "points":
        return True
    if frames.modality == "image" and frames.data.ndim == 5:
        return False
    shape = "×".join(str(side) for side in frames.data.shape[2:])
    raise DataError(f"no picture of samples of modality {frames.modality!r} and shape {shape}")


def _rows(frames: Frames, side: int) -> Image:
    samples = frames.data.swapaxes(0, 1)
    return sheet([[tile(state, frames.levels, side) for state in sample] for sample in samples])


def _grid(frame: Preview) -> Image:
    tiles = [tile(sample, frame.levels) for sample in frame.data]
    across = math.ceil(math.sqrt(len(tiles)))
    return sheet([tiles[start : start + across] for start in range(0, len(tiles), across)])


def _enlarged(picture: Image, frames: Frames) -> Image:
    """By a whole number, so that a pixel stays a square."""
    times = max(1, -(-SIDE // max(frames.data.shape[3:])))
    return picture.resize((times * picture.width, times * picture.height), 0)


def _on_white(picture: Image) -> Image:
    """GIF knows no half transparency."""
    from PIL.Image import alpha_composite, new

    return alpha_composite(new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert(
        "RGB"
    )


def _opened(png: bytes) -> Image:
    from PIL.Image import open

    return open(io.BytesIO(png))


def _reach(clouds: list[Preview]) -> float:
    """How far the farthest point is from 0 in either coordinate, and a little more."""
    ranges = [limits(cloud) for cloud in clouds]
    return max((within[1] for within in ranges if within is not None), default=1.0)


def _clouds(clouds: list[Preview], within: float | None = None) -> Callable[[Axes], None]:
    """Clouds in rows of ``ACROSS`` on one pair of axes, each moved by as much as one is wide."""
    side = 2 * (_reach(clouds) if within is None else within)
    places = [divmod(number, ACROSS) for number in range(len(clouds))]
    moved = [
        plane(cloud) + np.array([column * side, -row * side])
        for cloud, (row, column) in zip(clouds, places, strict=True)
    ]
    points = np.concatenate(moved)
    rows, columns = _grid_of(len(clouds))

    def plot(axes: Axes) -> None:
        axes.plot(points[:, 0], points[:, 1], ".", color=INK, markersize=2, markeredgewidth=0)
        axes.set_xlim(-side / 2, (columns - 0.5) * side)
        axes.set_ylim((0.5 - rows) * side, side / 2)
        axes.set_aspect("equal")
        axes.set_axis_off()

    return plot


def _grid_of(count: int) -> tuple[int, int]:
    return -(-count // ACROSS), min(count, ACROSS)


def _drawn(plot: Callable[[Axes], None], size: tuple[float, float]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    plot(figure.add_subplot())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()
