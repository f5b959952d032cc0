"""What is in a picture: objects found, and told apart by templates.

1. What is brighter than the background by ``BRIGHT`` levels in one channel or more is foreground.
   Its parts, in which pixels also join across a corner, are *blobs*; those of fewer than ``SPECK``
   pixels are dust, which is ignored.
2. A blob, with the ring of pixels around it, is compared with every shape and size, sharp as
   ``genbench.data.shapes`` draws it and blurred by (1, 2, 1)/4 along each axis, at places a quarter
   of a pixel apart around its centre of mass and whole inside the picture. A template of coverage a
   explains pixels x (over the background) by the colour c that leaves the least of them,
   |x - a c|²; the template that leaves the least wins.
3. If it leaves more than the share ``UNLIKE`` of |x|², the blob is no object that can be read: two
   objects that touch or overlap, one that the edge cuts off, half a shape, a blob of two colours.
4. The colour is the nearest one, if it is within ``OFF`` of c.

Levels and coverages are whole numbers, and so are the sums of their products up to 2⁵³: the same
objects are read on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from genbench.data.shapes.rendering import BACKGROUND, PATCH, POINTS, patches
from genbench.data.shapes.scenes import COLOURS, GRID, SHAPES, SIDE, SIZES, Item

BRIGHT = 64
"""Eight times the deviation of the strongest noise that must be read through; the dimmest edge of
two colours a pixel apart lies below."""
SPECK = 5
"""Pixels. The smallest object covers 23."""
UNLIKE = 0.12
"""Noise of 8 levels upon a blur of half a pixel leaves 0.08 at most; half a shape leaves 0.18 or
more."""
OFF = 60.0
"""Distance in RGB levels, less than half of that between any two colours."""

STEP = 2
"""Of the templates' places, in eighths of a pixel."""
FARTHEST = 6
"""Of a template from the blob's centre, rounded to a pixel's corner, in eighths of a pixel along
each axis: half a pixel, and a quarter for the error of the centre of mass."""
WINDOW = PATCH + 2
"""Pixels of the square that is compared."""
SCALE = 16 * POINTS
"""Of a template's coverages, which are whole numbers."""
CHUNK = 512
"""Blobs that are compared at once."""

Objects = tuple[Item | None, ...]
"""The objects of a picture; ``None`` for one that cannot be read."""


def read(pictures: NDArray[np.uint8]) -> list[Objects]:
    """The objects in each of ``(B, 3, 32, 32)`` pictures, from the top down."""
    light = pictures.astype(np.int32) - BACKGROUND
    foreground = light.max(axis=1) >= BRIGHT
    across = np.zeros((3, 3, 3), dtype=np.bool_)
    across[1] = True  # within a picture, not from one to the next
    parts, count = ndimage.label(foreground, structure=across)
    labels = parts.astype(np.int32)
    places = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    found: list[list[Item | None]] = [[] for _ in pictures]
    blobs = [number for number in range(1, count + 1) if sizes[number] >= SPECK]
    # A pixel between two blobs belongs to the later one: both are dark there.
    rings = ndimage.grey_dilation(labels, footprint=across)
    owned = np.where(foreground, labels, rings)
    for first in range(0, len(blobs), CHUNK):
        chunk = np.array(blobs[first : first + CHUNK])
        pictured = np.array([places[number - 1][0].start for number in chunk])
        for row, item in zip(pictured, _items(light, owned, labels, chunk, pictured), strict=True):
            found[row].append(item)
    return [tuple(items) for items in found]


def _items(
    light: NDArray[np.int32],
    owned: NDArray[np.int32],
    labels: NDArray[np.int32],
    blobs: NDArray[np.int64],
    pictured: NDArray[np.int64],
) -> Iterator[Item | None]:
    """What each of the ``blobs`` is, which lie in the pictures ``pictured``."""
    own = owned[pictured] == blobs[:, None, None]
    whole = np.where(own[:, None], light[pictured], 0)
    weight = whole.clip(min=0).sum(axis=1)
    middle = np.arange(SIDE) + 0.5
    mass = weight.sum(axis=(1, 2))
    x, y = ((weight.sum(axis=axis) * middle).sum(axis=1) / mass for axis in (1, 2))
    corner = np.rint(np.stack([x, y], axis=1)).astype(np.int64)
    bank = _bank()
    seen = _windows(whole, corner).astype(np.float64)
    products = (seen.reshape(-1, WINDOW * WINDOW) @ bank.covered.T).reshape(len(blobs), 3, -1)
    explained = np.square(products).sum(axis=1) / bank.squares
    explained[~_inside(corner)] = 0
    best = explained.argmax(axis=1)
    enough = (1 - UNLIKE) * np.square(whole).sum(axis=(1, 2, 3))
    for row, template in enumerate(best.tolist()):
        if explained[row, template] < enough[row]:
            yield None
            continue
        shape, size, right, down = bank.names[template]
        colour = BACKGROUND + SCALE * products[row, :, template] / bank.squares[template]
        left, top = corner[row].tolist()
        yield Item(shape, _nearest(colour), size, (left + right / GRID, top + down / GRID))


def _windows(whole: NDArray[np.int32], corner: NDArray[np.int64]) -> NDArray[np.int32]:
    """The square around each corner, ``(n, 3, WINDOW, WINDOW)``; 0 beyond the picture."""
    half = WINDOW // 2
    padded = np.pad(whole, ((0, 0), (0, 0), (half, half + 1), (half, half + 1)))
    at = np.arange(WINDOW)
    down, right = corner[:, 1, None] + at, corner[:, 0, None] + at
    rows = np.arange(len(whole))
    cut: NDArray[np.int32] = padded[
        rows[:, None, None, None],
        np.arange(3)[:, None, None],
        down[:, None, :, None],
        right[:, None, None, :],
    ]
    return cut


class _Bank(NamedTuple):
    """Templates in the square around a pixel's corner."""

    names: list[tuple[str, str, int, int]]
    """Shape, size, and eighths of a pixel to the right and down."""
    covered: NDArray[np.float64]
    """Coverages, in 1/``SCALE``, ``(T, WINDOW²)``."""
    squares: NDArray[np.float64]
    """The sum of their squares, ``(T,)``."""
    reach: NDArray[np.int64]
    """Pixels from the corner to the left, right, top and bottom edge, ``(T, 4)``."""


@cache
def _bank() -> _Bank:
    names, covered, reach = [], [], []
    offsets = range(-FARTHEST, FARTHEST + 1, STEP)
    for blurred, shape, size, right, down in product((0, 1), SHAPES, SIZES, offsets, offsets):
        patch = patches()[SHAPES.index(shape), SIZES.index(size), down % GRID, right % GRID]
        window = np.zeros((WINDOW, WINDOW))
        top, left = 1 + down // GRID, 1 + right // GRID
        window[top : top + PATCH, left : left + PATCH] = patch
        # Of the shape itself, whose blur may reach beyond the picture.
        columns, rows = (np.flatnonzero(window.any(axis=axis)) for axis in (0, 1))
        names.append((shape, size, right, down))
        covered.append(_blurred(window).ravel() if blurred else 16 * window.ravel())
        reach.append([columns[0], columns[-1] + 1, rows[0], rows[-1] + 1])
    whole = np.array(covered)
    return _Bank(names, whole, np.square(whole).sum(axis=1), np.array(reach) - WINDOW // 2)


def _blurred(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """16 times the blurred ``window``, whose edge is 0."""
    for axis in (0, 1):
        window = np.roll(window, 1, axis) + 2 * window + np.roll(window, -1, axis)
    return window


def _inside(corner: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which templates around each corner, ``(n, 2)`` right and down, lie within the picture,
    ``(n, T)``."""
    left, right, top, bottom = _bank().reach.T
    x, y = corner[:, :1], corner[:, 1:]
    across = (x >= -left) & (x <= SIDE - right)
    inside: NDArray[np.bool_] = across & (y >= -top) & (y <= SIDE - bottom)
    return inside


def _nearest(colour: NDArray[np.float64]) -> str | None:
    names = list(COLOURS)
    gaps = np.square(np.array(list(COLOURS.values())) - colour).sum(axis=1)
    return names[int(gaps.argmin())] if gaps.min() <= OFF**2 else None
