"""The law of the scenes: what is in them, and where.

A scene is one to three objects, each a shape of one colour and one of two sizes. Its *layout* is
drawn first: ``two`` with probability 2/5, and each other one with 1/5:

``one``
    One object.
``equal``
    Two or three objects (equally likely) of one shape, colour and size.
``two``, ``three``
    So many objects, no two of the same colour and shape; each has a size of its own.

Colours and shapes are drawn together, uniformly from the 35 pairs that are not ``HELD_OUT``; sizes
are uniform. Positions are then uniform over all places on a grid of 1/8 pixel at which every object
lies half a pixel or more inside the picture, and the circles around any two objects are two pixels
or more apart: places that are not are drawn again, all of the scene at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from math import hypot

import torch
from torch import Tensor

from genbench.api.seeding import generator

SIDE = 32
"""Pixels of a picture along each axis."""
GRID = 8
"""Places of a centre per pixel, along each axis."""
EDGE = 0.5
"""Pixels between an object's circumscribed circle and the edge of the picture, at least."""
MARGIN = 2.0
"""Pixels between the circumscribed circles of two objects, at least."""
SEED = 0

SHAPES = ("circle", "square", "triangle", "star", "cross")
SIZES = ("small", "large")
COLOURS = {
    "red": (225, 35, 35),
    "pink": (255, 130, 190),
    "yellow": (245, 225, 40),
    "green": (35, 165, 60),
    "cyan": (50, 215, 225),
    "blue": (35, 75, 245),
    "purple": (160, 45, 200),
    "white": (245, 245, 245),
}
"""RGB levels. The nearest two, pink and purple, are 128 apart."""
HELD_OUT = frozenset(
    {
        ("purple", "circle"),
        ("green", "square"),
        ("yellow", "triangle"),
        ("blue", "star"),
        ("red", "cross"),
    }
)
"""Pairs of colour and shape that only the split ``held-out`` shows."""

UNIT = {"small": 3.5, "large": 5.25}
"""The radius of a circle in pixels. Other shapes are this times ``REACH`` from their centre to the
farthest point, so that shapes of one size look as large."""
REACH = {"circle": 1.0, "square": 1.2, "triangle": 1.2, "star": 1.2, "cross": 1.17}

COUNTS = {"train": 20_000, "test": 5_000, "held-out": 2_000}
"""Scenes of each split."""


@dataclass(frozen=True)
class Item:
    """An object of a scene, drawn or read."""

    shape: str
    colour: str | None
    """``None``: none of ``COLOURS``, of an object that was read from a picture."""
    size: str
    centre: tuple[float, float]
    """Pixels from the left and from the top edge of the picture."""


Scene = tuple[Item, ...]


def radius(shape: str, size: str) -> float:
    """Of the circumscribed circle, in pixels, a multiple of 1/64."""
    return round(64 * REACH[shape] * UNIT[size]) / 64


@cache
def draw_split(split: str) -> tuple[Scene, ...]:
    """The scenes of ``train``, ``test`` or ``held-out``; none of ``test`` is in ``train``, whatever
    the order of the objects."""
    if split != "test":
        return tuple(_draw(split, COUNTS[split]))
    known = {frozenset(scene) for scene in draw_split("train")}
    # One object alone has few places: about three test scenes are in train and must be replaced.
    spare = COUNTS["test"] // 10
    fresh = [s for s in _draw("test", COUNTS["test"] + spare) if frozenset(s) not in known]
    return tuple(fresh[: COUNTS["test"]])


def _draw(split: str, count: int) -> Iterator[Scene]:
    stream = generator(SEED, f"shapes {split}")
    pairs = list(product(COLOURS, SHAPES))
    layout = torch.randint(5, (count,), generator=stream)
    more = torch.randint(2, (count,), generator=stream)
    equal = layout == 3
    number = torch.where(equal, 2 + more, torch.tensor([1, 2, 2, 0, 3])[layout])
    chosen = _pairs(split, pairs, count, stream)
    size = torch.randint(2, (count, 3), generator=stream)
    chosen[equal], size[equal] = chosen[equal, :1], size[equal, :1]
    reach = torch.tensor([[radius(shape, size) for size in SIZES] for _, shape in pairs])
    places = _places(reach.double()[chosen, size], number, stream)
    rows = zip(number.tolist(), chosen.tolist(), size.tolist(), places.tolist(), strict=True)
    for objects, of_pairs, of_sizes, centres in rows:
        yield tuple(
            Item(pairs[pair][1], pairs[pair][0], SIZES[size], (x, y))
            for pair, size, (x, y) in zip(
                of_pairs[:objects], of_sizes[:objects], centres[:objects], strict=True
            )
        )


def _pairs(split: str, pairs: list[tuple[str, str]], count: int, stream: torch.Generator) -> Tensor:
    """Three different pairs of colour and shape for each scene, int64 ``(count, 3)``."""
    key = torch.rand(count, len(pairs), generator=stream, dtype=torch.float64)
    hidden = torch.tensor([pair in HELD_OUT for pair in pairs])
    if split != "held-out":
        return key.masked_fill(hidden, -1).topk(3, dim=1).indices
    first = key.masked_fill(~hidden, -1).argmax(dim=1, keepdim=True)
    return torch.cat([first, key.scatter(1, first, -1).topk(2, dim=1).indices], dim=1)


def _places(reach: Tensor, number: Tensor, stream: torch.Generator) -> Tensor:
    """Centres, float64 ``(count, 3, 2)``, of objects of radius ``reach``, ``(count, 3)``, of which
    the first ``number`` of a scene count."""
    low = ((reach + EDGE) * GRID).ceil()
    span = SIDE * GRID - 2 * low + 1
    places = torch.zeros(*reach.shape, 2, dtype=torch.float64)
    left = torch.arange(len(reach))
    while len(left):
        drawn = torch.rand(len(left), 3, 2, generator=stream, dtype=torch.float64)
        centre = (low[left, :, None] + (drawn * span[left, :, None]).floor()) / GRID
        apart = torch.ones(len(left), dtype=torch.bool)
        for one, two in combinations(range(3), 2):
            gap = (centre[:, one] - centre[:, two]).square().sum(dim=1)
            least = reach[left, one] + reach[left, two] + MARGIN
            apart &= (gap >= least.square()) | (number[left] <= two)
        places[left[apart]] = centre[apart]
        left = left[~apart]
    return places


def distance(one: Item, two: Item) -> float:
    """Between the circumscribed circles of two objects, in pixels; negative if they overlap."""
    between = hypot(one.centre[0] - two.centre[0], one.centre[1] - two.centre[1])
    return between - radius(one.shape, one.size) - radius(two.shape, two.size)
