"""Captioned scenes of simple shapes, drawn from a known law, so that a program can tell whether a
picture shows what its caption states.

``scenes`` is the law, ``captions`` the grammar, ``rendering`` the renderer. All is drawn from fixed
seeds; nothing is downloaded.

A caption mentions every object and states some of the facts of its scene: a shape always, a colour
with probability 3/4 and a size with 1/2, each by itself. Objects that are then described alike are
counted, as in *two circles*. Of the layout ``two``, a relation is stated with probability 2/3 if
the two objects are described differently and it holds *clearly*: along its axis the centres are 8
pixels or more apart, and along the other at most half as much. The paraphrase is uniform over
``captions.STYLES``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genbench.api import SampleSpec, TensorSamples, Text
from genbench.api.errors import UsageError, did_you_mean
from genbench.api.seeding import generator
from genbench.data import choose_split
from genbench.data.shapes.captions import (
    MAX_TOKENS,
    MOST,
    STYLES,
    WORDS,
    Facts,
    Mention,
    tokenise,
    write,
)
from genbench.data.shapes.rendering import render
from genbench.data.shapes.scenes import COUNTS, HELD_OUT, SEED, SIDE, Item, Scene, draw_split
from genbench.store import in_memory

CAPTION = "caption"
"""The name of the condition."""
PROMPTS = "prompts"
"""The split of captions to ask for, half of them of what training never shows together."""
CLEAR = 8.0
"""Pixels between two centres along the axis of a relation that is stated."""
SPEC = SampleSpec("image", (3, SIDE, SIDE), condition={CAPTION: Text(MAX_TOKENS, len(WORDS) + 1)})

_COLOUR, _SIZE, _RELATION = 3 / 4, 1 / 2, 2 / 3
"""The probability with which each is stated."""


@dataclass(frozen=True)
class ShapesSamples(TensorSamples):
    """Captioned scenes."""

    def tokens(self, name: str, words: Sequence[str]) -> Tensor:
        """The tokens of captions, int64 ``(n, 17)``. Raises ``UsageError`` for another condition
        than ``caption``, and for a caption outside the grammar."""
        if name != CAPTION:
            raise UsageError(f"shapes has no condition {name!r}{did_you_mean(name, [CAPTION])}")
        return tokenise(words)


def shapes(argument: str, data_dir: Path) -> ShapesSamples:
    """Scenes of one to three shapes on a dark background, with captions: ``train`` (20,000),
    ``test`` (5,000, of the same law, none of them in train), ``held-out`` (2,000), and ``prompts``
    (4,000), which takes turns between the first of ``test`` and ``held-out``.

    Pictures are uint8 ``(N, 3, 32, 32)``; the condition ``caption`` is int64 ``(N, 17)``, and the
    words lie in the texts. Every scene of ``held-out`` has an object of a colour and shape that no
    other split shows together (``scenes.HELD_OUT``), and its caption names it. ``data_dir`` is not
    used. Raises ``UsageError`` for another split.
    """
    return _samples("shapes", argument, most=MOST)


def shapes_single(argument: str, data_dir: Path) -> ShapesSamples:
    """The scenes of ``shapes`` that have one object alone, in the same splits, about a fifth as
    many: ``train`` (4,055), ``test`` (1,080), ``held-out`` (390) and ``prompts`` (780).

    Raises ``UsageError`` for another split.
    """
    return _samples("shapes-single", argument, most=1)


def _samples(name: str, argument: str, *, most: int) -> ShapesSamples:
    """Of the scenes with up to ``most`` objects."""
    split = choose_split(name, argument, (*COUNTS, PROMPTS))
    if split == PROMPTS:
        turns = zip(_captioned("test", most), _captioned("held-out", most), strict=False)
        captioned = [scene for turn in turns for scene in turn]
    else:
        captioned = list(_captioned(split, most))
    scenes = [scene for scene, _ in captioned]
    captions = [caption for _, caption in captioned]
    held = in_memory(
        name,
        split,
        SPEC,
        torch.from_numpy(render(scenes)),
        {CAPTION: tokenise(captions)},
        {CAPTION: captions},
    )
    return ShapesSamples(held.spec, held.id, held.data, held.condition, held.texts)


def _captioned(split: str, most: int) -> Iterator[tuple[Scene, str]]:
    scenes = draw_split(split)
    for scene, (facts, style) in zip(scenes, describe(scenes, split), strict=True):
        if len(scene) <= most:
            yield scene, write(facts, STYLES[style])


def describe(scenes: Sequence[Scene], split: str) -> list[tuple[Facts, int]]:
    """The facts that the caption of each scene of ``split`` states, and the number of its style."""
    stream = generator(SEED, f"shapes captions {split}")
    drawn = torch.rand(len(scenes), 7, generator=stream, dtype=torch.float64).tolist()
    style = torch.randint(len(STYLES), (len(scenes),), generator=stream).tolist()
    return [
        (_facts(scene, chances), number)
        for scene, chances, number in zip(scenes, drawn, style, strict=True)
    ]


def _facts(scene: Scene, chances: Sequence[float]) -> Facts:
    """``chances``: seven uniform numbers."""
    counts: dict[Mention, int] = {}
    alike = len({(item.shape, item.colour, item.size) for item in scene}) == 1
    for number, item in enumerate(scene):
        of = 0 if alike else number  # equal objects are described alike
        hidden = (item.colour, item.shape) in HELD_OUT
        mention = Mention(
            item.shape,
            item.colour if hidden or chances[of] < _COLOUR else None,
            item.size if chances[3 + of] < _SIZE else None,
        )
        counts[mention] = counts.get(mention, 0) + 1
    mentions = tuple(
        Mention(mention.shape, mention.colour, mention.size, count)
        for mention, count in counts.items()
    )
    stated = len(mentions) == len(scene) == 2 and chances[6] < _RELATION
    return Facts(mentions, clear_relation(*scene) if stated else None)


def clear_relation(one: Item, two: Item) -> str | None:
    """The relation of ``one`` to ``two`` that holds clearly, if any."""
    right, down = (b - a for a, b in zip(one.centre, two.centre, strict=True))
    if abs(right) >= CLEAR and abs(down) <= abs(right) / 2:
        return "left of" if right > 0 else "right of"
    if abs(down) >= CLEAR and abs(right) <= abs(down) / 2:
        return "above" if down > 0 else "below"
    return None
