"""Whether a caption's facts hold of the objects that were found in a picture.

The caption's objects are matched with those of the picture, each with another one or with none, so
that the most facts hold; of matchings that are equal in this, the one with the most right shapes,
then colours, then sizes wins, then the first in the order of the picture. A fact of an object that
is matched with none does not hold, and an object that cannot be read is matched with none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

from genbench.data.shapes.captions import KINDS, Facts
from genbench.data.shapes.scenes import Item

NEAR = 4.0
"""Pixels between two centres along the axis of a relation, at least, for it to hold."""


class Verdict(NamedTuple):
    """On the facts of one kind."""

    stated: bool
    holds: bool
    """Whether all that are stated hold; ``False`` if none is."""


def check(facts: Facts, objects: Sequence[Item | None]) -> Mapping[str, Verdict]:
    """By kind, whether the caption states facts of it, and whether they hold of ``objects``, as
    ``read`` gives them.

    ``count``
        There are as many objects as the caption mentions, and all can be read. Always stated.
    ``shape``, ``colour``, ``size``
        Those of every object of the caption. A shape is always stated.
    ``relation``
        One centre lies on that side of the other by ``NEAR`` pixels or more, and at least as far as
        along the other axis. The data set states only what holds by twice as much.
    """
    wanted = facts.objects
    readable = [item for item in objects if item is not None]
    absent = [None] * max(0, len(wanted) - len(readable))
    choices = permutations([*readable, *absent], len(wanted))
    held = max((_held(facts, choice) for choice in choices), key=_merit)
    stated = {
        "count": True,
        "colour": any(mention.colour for mention in wanted),
        "shape": True,
        "size": any(mention.size for mention in wanted),
        "relation": facts.relation is not None,
    }
    right = {
        "count": len(objects) == len(wanted) == len(readable),
        "colour": held.colour == sum(mention.colour is not None for mention in wanted),
        "shape": held.shape == len(wanted),
        "size": held.size == sum(mention.size is not None for mention in wanted),
        "relation": held.relation == 1,
    }
    return {kind: Verdict(stated[kind], stated[kind] and right[kind]) for kind in KINDS}


class _Held(NamedTuple):
    """How many facts of each kind hold."""

    shape: int
    colour: int
    size: int
    relation: int


def _held(facts: Facts, items: Sequence[Item | None]) -> _Held:
    """Of ``items``, one for each object of the caption."""
    pairs = [
        (mention, item)
        for mention, item in zip(facts.objects, items, strict=True)
        if item is not None
    ]
    return _Held(
        sum(item.shape == mention.shape for mention, item in pairs),
        sum(_same(mention.colour, item.colour) for mention, item in pairs),
        sum(_same(mention.size, item.size) for mention, item in pairs),
        int(len(pairs) == 2 and _related(facts.relation, pairs[0][1], pairs[1][1])),
    )


def _merit(held: _Held) -> tuple[int, ...]:
    return sum(held), *held


def _same(stated: str | None, seen: str | None) -> bool:
    return stated is not None and stated == seen


def _related(relation: str | None, one: Item, two: Item) -> bool:
    right, down = (b - a for a, b in zip(one.centre, two.centre, strict=True))
    along = {"left of": right, "right of": -right, "above": down, "below": -down}
    return relation is not None and along[relation] >= max(NEAR, abs(right), abs(down))
