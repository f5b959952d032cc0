"""Pictures: ``(C, H, W)`` in levels or, real-valued, in [-1, 1]."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench.api import Frames, Modality, SampleSpec, Shown

if TYPE_CHECKING:
    from PIL.Image import Image

GRID_PIXELS = 256
"""About the side of a grid in its own pixels; the page shows them enlarged, as squares."""
TILE_PIXELS = 64
"""Larger pictures are reduced to this side; smaller ones are enlarged to it in a file."""
STRIP_PIXELS = 32
"""The same on the page: noise cannot be compressed, and a strip has sixty tiles."""
TILES = 64


def check(spec: SampleSpec) -> str | None:
    if len(spec.shape) != 3:
        return f"images have the shape (C, H, W), not {spec.shape}"
    return None if spec.rate is None else f"images have no rate, and this one says {spec.rate:g}"


def preview(samples: Shown, first: Shown) -> Image:
    """As many of the samples as fill a square, row by row."""
    images = [tile(sample, samples.spec.levels) for sample in samples.data[:TILES]]
    width, height = images[0].size
    across = max(1, min(math.isqrt(len(images)), GRID_PIXELS // (max(width, height) + 1)))
    return sheet(in_rows(images[: across**2], across))


def strip(frames: Frames, on_page: bool) -> Image:
    """A row a sample and a column a frame."""
    side = STRIP_PIXELS if on_page else TILE_PIXELS
    samples = frames.data.swapaxes(0, 1)
    drawn = sheet([[tile(state, frames.spec.levels, side) for state in row] for row in samples])
    return drawn if on_page else _enlarged(drawn, frames.spec)


def animation(frames: Frames) -> list[Image]:
    """The samples of a frame in a square."""
    return [_enlarged(_square(frame), frames.spec) for frame in frames.each()]


def pairs(samples: Shown, nearest: Shown) -> Image:
    """Each sample above its neighbour."""
    both = samples, nearest
    return sheet([[tile(image, part.spec.levels) for image in part.data] for part in both])


def png(samples: Shown) -> bytes:
    """All samples in a square, as a PNG file."""
    buffer = io.BytesIO()
    _square(samples).save(buffer, "PNG")
    return buffer.getvalue()


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


def _square(samples: Shown) -> Image:
    tiles = [tile(sample, samples.spec.levels) for sample in samples.data]
    return sheet(in_rows(tiles, math.ceil(math.sqrt(len(tiles)))))


def in_rows(tiles: Sequence[Image], across: int) -> list[Sequence[Image]]:
    """Tiles, ``across`` in each row but the last."""
    return [tiles[start : start + across] for start in range(0, len(tiles), across)]


def _enlarged(picture: Image, spec: SampleSpec) -> Image:
    """By a whole number, so that a pixel stays a square."""
    times = max(1, -(-TILE_PIXELS // max(spec.shape[1:])))
    return picture.resize((times * picture.width, times * picture.height), 0)


IMAGE = Modality(
    check, preview, strip, animation, pairs, {".png": png}, previewed=TILES, followed=6, animated=8
)
