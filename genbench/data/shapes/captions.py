"""Facts, the captions that state them, and the facts read back from a caption.

The grammar, in which ``|`` separates paraphrases::

    caption  = [a picture of | a drawing of] list
    list     = mention [relation mention]
             | mention (and | with) mention
             | mention , mention and mention | mention and mention and mention
    mention  = (a | one | two | three) [size] [colour] shape
    size     = small | little, or large | big
    relation = to the left of | left of, to the right of | right of, above | over, below | under

The shape has a plural *s* (*crosses*) after *two* and *three*. A caption mentions all objects of
its scene, three at most, and a relation is one between two objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from genbench.api.errors import UsageError, did_you_mean
from genbench.data.shapes.scenes import COLOURS, HELD_OUT, SHAPES

KINDS = ("count", "colour", "shape", "size", "relation")
"""Of facts."""
RELATIONS = {
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
"""With the words for each."""
SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
NUMBERS = {1: ("a", "one"), 2: ("two",), 3: ("three",)}
OPENINGS = ("", "a picture of ", "a drawing of ")
MOST = 3
"""Objects of a caption."""

PLURALS = {shape: f"{shape}es" if shape == "cross" else f"{shape}s" for shape in SHAPES}
WORDS = (
    *("a", "one", "two", "three", "small", "little", "large", "big", *COLOURS),
    *(*SHAPES, *PLURALS.values(), ",", "and", "with"),
    *("to", "the", "left", "right", "of", "above", "over", "below", "under"),
    *("picture", "drawing"),
)
"""Token k + 1 is word k; 0 pads."""
MAX_TOKENS = 17
"""Of the longest caption: three objects, with an opening, a comma, sizes and colours."""

_TOKENS = {word: number for number, word in enumerate(WORDS, 1)}
_SIZES = {word: size for size, words in SIZE_WORDS.items() for word in words}
_NUMBERS = {word: number for number, words in NUMBERS.items() for word in words}
_NUMBERS_TO = [{w for w, number in _NUMBERS.items() if number <= most} for most in range(MOST + 1)]
_ONE_OF = {shape: shape for shape in SHAPES}
_MORE_OF = {plural: shape for shape, plural in PLURALS.items()}
_OPENED = {"picture", "drawing"}
_RELATED = {"to", "left", "right", "above", "over", "below", "under"}


@dataclass(frozen=True)
class Mention:
    """One or more objects that are described alike."""

    shape: str
    colour: str | None = None
    """``None``: not stated."""
    size: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Facts:
    """What a caption states of its scene."""

    mentions: tuple[Mention, ...]
    relation: str | None = None
    """A name of ``RELATIONS``, between the only two objects: the first is *left of* the second."""

    @property
    def objects(self) -> tuple[Mention, ...]:
        """The mention of each object, in the order of the caption."""
        return tuple(mention for mention in self.mentions for _ in range(mention.count))

    @property
    def held_out(self) -> bool:
        """Whether the caption names a colour and shape that are in no training scene."""
        return any((mention.colour, mention.shape) in HELD_OUT for mention in self.mentions)

    @property
    def single(self) -> bool:
        """Whether the caption mentions one object alone."""
        return len(self.objects) == 1


@dataclass(frozen=True)
class Style:
    """A choice of paraphrases, each a number from 0."""

    opening: int
    """Of ``OPENINGS``."""
    number: int
    size: int
    relation: int
    joint: int
    """1: *with* between two mentions, *and* twice between three."""


STYLES = tuple(Style(*choice) for choice in product(range(len(OPENINGS)), *[range(2)] * 4))


def write(facts: Facts, style: Style) -> str:
    """The caption that states ``facts``."""
    said = [_mention(mention, style) for mention in facts.mentions]
    if facts.relation is not None:
        joint = f" {RELATIONS[facts.relation][style.relation]} "
    elif len(said) == 2:
        joint = " with " if style.joint else " and "
    else:
        joint = " and " if style.joint else ", "
    text = joint.join(said[:-1]) + (joint if len(said) == 2 else " and ") if said[1:] else ""
    return OPENINGS[style.opening] + text + said[-1]


def paraphrases(facts: Facts) -> tuple[str, ...]:
    """All captions that state ``facts``, in a fixed order."""
    return tuple(dict.fromkeys(write(facts, style) for style in STYLES))


def _mention(mention: Mention, style: Style) -> str:
    choices = NUMBERS[mention.count]
    words = [choices[style.number % len(choices)]]
    if mention.size is not None:
        words.append(SIZE_WORDS[mention.size][style.size])
    if mention.colour is not None:
        words.append(mention.colour)
    words.append(mention.shape if mention.count == 1 else PLURALS[mention.shape])
    return " ".join(words)


def parse(caption: str) -> Facts:
    """The facts that ``caption`` states.

    Raises ``UsageError`` for a caption outside the grammar: it names the first word that does not
    fit, and the nearest one that does, or all of them.
    """
    reader = _Reader(caption)
    mentions = [_read_mention(reader, MOST, opening=True)]
    left = MOST - mentions[0].count
    joints = {3: {""}, 2: {"", "and", "with"}, 1: {"", "and", "with", ","}}[mentions[0].count]
    joint = reader.take(joints, _RELATED if mentions[0].count == 1 else ())
    if joint in _RELATED:
        relation = _read_relation(reader, joint)
        mentions.append(_read_mention(reader, 1))
        reader.take({""})
        return Facts(tuple(mentions), relation)
    while joint:
        # After a comma a third mention must follow.
        mentions.append(_read_mention(reader, left - (joint == ",")))
        left -= mentions[-1].count
        last = {"and"} if left and joint != "with" and len(mentions) < MOST else set[str]()
        joint = reader.take(last if joint == "," else {*last, ""})
    return Facts(tuple(mentions))


def _read_mention(reader: _Reader, most: int, *, opening: bool = False) -> Mention:
    number = reader.take(_NUMBERS_TO[most])
    count = _NUMBERS[number]
    shapes = _ONE_OF if count == 1 else _MORE_OF
    word = reader.take(shapes, COLOURS, _SIZES, _OPENED if opening and number == "a" else ())
    if word in _OPENED:
        reader.take({"of"})
        return _read_mention(reader, most)
    size = _SIZES.get(word)
    if size is not None:
        word = reader.take(shapes, COLOURS)
    colour = word if word in COLOURS else None
    if colour is not None:
        word = reader.take(shapes)
    return Mention(shapes[word], colour, size, count)


def _read_relation(reader: _Reader, word: str) -> str:
    if word == "to":
        reader.take({"the"})
        word = reader.take({"left", "right"})
    if word in ("left", "right"):
        reader.take({"of"})
        return f"{word} of"
    return next(name for name, phrases in RELATIONS.items() if word in phrases)


class _Reader:
    """Takes the words of a caption one by one."""

    def __init__(self, caption: str) -> None:
        self._caption = caption
        self._words = iter(split_words(caption))

    def take(self, *expected: Collection[str]) -> str:
        """The next word, ``""`` at the end. Raises ``UsageError`` if it is none of those."""
        word = next(self._words, "")
        if any(word in words for words in expected):
            return word
        known = [known for words in expected for known in words if known]
        near = did_you_mean(word, known)
        where = f"{word!r} does not fit" if word else "it ends too early"
        if not known:
            near = "; the caption ends before it"
        raise UsageError(f"caption {self._caption!r}: {where}{near}")


def split_words(caption: str) -> list[str]:
    """The words of a caption, and its commas as words."""
    return caption.replace(",", " , ").split()


def tokenise(captions: Sequence[str]) -> Tensor:
    """Tokens, int64 ``(n, 17)``, padded with 0. Raises ``UsageError`` as ``parse`` does."""
    for caption in dict.fromkeys(captions):
        parse(caption)
    return torch.tensor(list(_padded(captions)), dtype=torch.int64).view(-1, MAX_TOKENS)


def _padded(captions: Sequence[str]) -> Iterator[list[int]]:
    for caption in captions:
        row = [_TOKENS[word] for word in split_words(caption)]
        yield row + [0] * (MAX_TOKENS - len(row))


def untokenise(tokens: Tensor) -> list[str]:
    """The captions, their words parted by blanks, of tokens ``(n, 17)`` in 0 … 47."""
    return [" ".join(WORDS[token - 1] for token in row if token) for row in tokens.tolist()]
