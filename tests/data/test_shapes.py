"""Captioned scenes: the law in numbers, the renderer against areas, captions there and back."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations, permutations
from math import floor, hypot, pi, sin, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.api import Text
from genbench.api.errors import UsageError
from genbench.data import shapes as data
from genbench.data.shapes import captions, rendering, scenes
from genbench.data.shapes.captions import Facts, Mention, paraphrases, parse
from genbench.data.shapes.scenes import COLOURS, EDGE, HELD_OUT, SHAPES, SIZES, Item, Scene, radius
from genbench.testing import dataset_checks

opened = cache(data.shapes)
split = scenes.draw_split
NOWHERE = Path("unused")


@cache
def facts(name: str) -> list[Facts]:
    return [said for said, _ in data.describe(split(name), name)]


def pairs(scene: Scene) -> set[tuple[str | None, str]]:
    return {(item.colour, item.shape) for item in scene}


def test_it_is_a_sound_data_set() -> None:
    for check in dataset_checks(opened, "test"):
        check()


@pytest.mark.parametrize("name", ["train", "test", "held-out"])
def test_spec_and_counts(name: str) -> None:
    samples = opened(name, NOWHERE)
    assert len(samples) == scenes.COUNTS[name]
    assert samples.data.dtype == torch.uint8
    assert samples.spec.shape == (3, 32, 32)
    text = samples.spec.condition["caption"]
    assert isinstance(text, Text)
    longest = max(len(captions.split_words(words)) for words in samples.texts["caption"])
    assert longest == text.max_tokens
    assert len(set(captions.WORDS)) == len(captions.WORDS) == text.vocabulary - 1


def test_a_split_is_the_same_bits_every_time() -> None:
    """The id is a hash of pictures and captions, the same on every processor."""
    assert data.shapes("held-out", NOWHERE).id == opened("held-out", NOWHERE).id
    assert opened("held-out", NOWHERE).id == "shapes:held-out@de5d5f1c5df23b0a"


def test_prompts_take_turns_between_what_was_seen_and_what_was_held_out() -> None:
    prompts, test, held_out = (opened(name, NOWHERE) for name in ("prompts", "test", "held-out"))
    assert len(prompts) == 2 * len(held_out)
    for turn, other in enumerate((test, held_out)):
        assert prompts.data[turn::2].equal(other.data[: len(held_out)])
        assert prompts.texts["caption"][turn::2] == other.texts["caption"][: len(held_out)]
        tokens = other.condition["caption"][: len(held_out)]
        assert prompts.condition["caption"][turn::2].equal(tokens)


def test_the_single_shapes_are_the_scenes_of_one_object() -> None:
    for name, count in (("test", 1080), ("held-out", 390), ("prompts", 780)):
        single, all_of_them = data.shapes_single(name, NOWHERE), opened(name, NOWHERE)
        alone = [parse(words).single for words in all_of_them.texts["caption"]]
        if name != "prompts":
            assert len(single) == count == sum(alone)
            assert single.data.equal(all_of_them.data[torch.tensor(alone)])
        assert len(single) == count
        assert all(parse(words).single for words in single.texts["caption"])
        assert single.id.startswith(f"shapes-single:{name}@")
    prompts = data.shapes_single("prompts", NOWHERE)
    held_out = [parse(words).held_out for words in prompts.texts["caption"]]
    assert held_out == [False, True] * 390


def test_an_unknown_split() -> None:
    with pytest.raises(UsageError, match="'shapes' has no split 'heldout'; did you mean 'held-out"):
        data.shapes("heldout", NOWHERE)


@pytest.mark.parametrize("name", ["train", "test", "held-out"])
def test_objects_lie_whole_inside_and_apart(name: str) -> None:
    for scene in split(name):
        for item in scene:
            reach = radius(item.shape, item.size) + EDGE
            assert all(reach <= place <= 32 - reach for place in item.centre)
            assert all((8 * place).is_integer() for place in item.centre)
        assert all(scenes.distance(*two) >= scenes.MARGIN for two in combinations(scene, 2))


def test_test_shares_no_scene_and_no_picture_with_train() -> None:
    known = {frozenset(scene) for scene in split("train")}
    assert not any(frozenset(scene) in known for scene in split("test"))
    train, test = (
        {row.numpy().tobytes() for row in opened(name, NOWHERE).data} for name in ("train", "test")
    )
    assert not train & test


def test_held_out_pairs_are_seen_in_no_other_split_and_each_part_of_them_is() -> None:
    assert {shape for _, shape in HELD_OUT} == set(SHAPES)
    assert len({colour for colour, _ in HELD_OUT}) == 5
    for name in ("train", "test"):
        seen = set().union(*map(pairs, split(name)))
        assert len(seen) == 35
        assert not seen & HELD_OUT
        assert not any(said.held_out for said in facts(name))
    assert all(pairs(scene) & HELD_OUT for scene in split("held-out"))
    assert all(said.held_out for said in facts("held-out"))


def test_layouts_and_attributes_are_as_frequent_as_the_law_says() -> None:
    drawn = split("train")
    count = len(drawn)

    def like(found: int, share: float, of: int = count) -> bool:
        return abs(found - share * of) < 5 * sqrt(of * share * (1 - share))

    assert like(sum(len(scene) == 1 for scene in drawn), 1 / 5)
    equal = [scene for scene in drawn if len(scene) > 1 and len(pairs(scene)) == 1]
    assert like(len(equal), 1 / 5)
    assert like(sum(len(scene) == 3 for scene in equal), 1 / 2, len(equal))
    others = [scene for scene in drawn if len(scene) > 1 and len(pairs(scene)) > 1]
    assert all(len(pairs(scene)) == len(scene) for scene in others)
    assert like(sum(len(scene) == 2 for scene in others), 2 / 3, len(others))
    first = Counter((scene[0].colour, scene[0].shape) for scene in drawn)
    assert all(like(found, 1 / 35) for found in first.values())
    assert like(sum(scene[0].size == "small" for scene in drawn), 1 / 2)


AREAS = {
    "circle": lambda r: pi * r**2,
    "square": lambda r: 2 * r**2,
    "triangle": lambda r: 3 * sqrt(3) / 4 * r**2,
    # Ten triangles with sides r and 0.45 r and the angle 36° between them.
    "star": lambda r: 10 / 2 * rendering.INNER * r**2 * sin(pi / 5),
    "cross": lambda r: (
        r**2 * (4 * 2 * rendering.ARM - 4 * rendering.ARM**2) / (1 + rendering.ARM**2)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_coverage_is_the_area_around_the_centre(shape: str, size: str) -> None:
    """Of an anti-aliased white shape: its sum, and its centre of mass wherever it lies."""
    centre = (14.375, 17.625)
    picture = rendering.render([(Item(shape, "white", size, centre),)])[0, 0].astype(float)
    covered = (picture - rendering.BACKGROUND) / (245 - rendering.BACKGROUND)
    assert covered.sum() == pytest.approx(AREAS[shape](radius(shape, size)), rel=0.05)
    middle = np.arange(32) + 0.5
    mass = ((covered * middle).sum(), (covered.T * middle).sum())
    assert np.array(mass) / covered.sum() == pytest.approx(centre, abs=0.05)


def test_a_pixel_is_the_mean_of_64_points() -> None:
    """A small square, 5.94 pixels wide, half a pixel to the right: points at odd sixteenths."""
    half = round(64 * radius("square", "small") / sqrt(2)) / 64
    picture = rendering.render([(Item("square", "red", "small", (16.5, 16.0)),)])[0]
    points = [abs(13 + (k + 0.5) / 8 - 16.5) <= half for k in range(8)]
    share = sum(points) / 8
    expected = [floor(16 + share * (level - 16) + 0.5) for level in COLOURS["red"]]
    assert picture[:, 16, 13].tolist() == expected
    assert picture[:, 16, 16].tolist() == list(COLOURS["red"])
    assert picture[:, 16, 12].tolist() == [16, 16, 16]


def test_a_triangle_and_a_star_point_up_and_a_square_does_not_turn() -> None:
    def widths(shape: str) -> list[int]:
        picture = rendering.render([(Item(shape, "white", "large", (16.0, 16.0)),)])[0, 0]
        return [int(row) for row in (picture > 60).sum(axis=1) if row]

    assert widths("triangle") == sorted(widths("triangle"))
    assert widths("star")[0] <= 2 < 8 <= max(widths("star"))
    assert len(set(widths("square"))) == 1
    assert widths("circle") == widths("circle")[::-1]


def test_colours_are_far_apart() -> None:
    gaps = [
        hypot(*(a - b for a, b in zip(one, two, strict=True)))
        for one, two in combinations(COLOURS.values(), 2)
    ]
    assert min(gaps) > 120


def test_all_paraphrases_of_10_000_scenes_are_read_back() -> None:
    stated = facts("train")[:8000] + facts("held-out")
    for said in set(stated):
        for caption in paraphrases(said):
            assert parse(caption) == said
    for name in ("train", "held-out"):
        for caption, said in zip(opened(name, NOWHERE).texts["caption"], facts(name), strict=True):
            assert caption in paraphrases(said)


def test_captions_state_what_is_in_the_scene() -> None:
    for scene, said in zip(split("train"), facts("train"), strict=True):
        assert len(said.objects) == len(scene)
        assert any(
            all(
                item.shape == mention.shape
                and mention.colour in (None, item.colour)
                and mention.size in (None, item.size)
                for mention, item in zip(said.objects, order, strict=True)
            )
            for order in permutations(scene)
        )


def test_every_kind_of_fact_is_stated_often() -> None:
    stated = facts("train")
    assert sum(said.relation is not None for said in stated) > len(stated) / 10
    assert {said.relation for said in stated} == {None, *captions.RELATIONS}
    for count in (2, 3):
        alike = [said for said in stated if any(m.count == count for m in said.mentions)]
        assert len(alike) > len(stated) / 20
    for part in ("colour", "size"):
        some = [said for said in stated if any(getattr(m, part) for m in said.mentions)]
        assert len(stated) / 2 < len(some) < len(stated)


RED, BLUE = Mention("circle", "red", "large"), Mention("square", "blue")
TWO = Mention("square", "blue", count=2)


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("a large red circle", Facts((RED,))),
        ("one big red circle", Facts((RED,))),
        ("two blue squares", Facts((TWO,))),
        ("three crosses", Facts((Mention("cross", count=3),))),
        (
            "a picture of a large red circle to the left of a blue square",
            Facts((RED, BLUE), "left of"),
        ),
        ("a large red circle under a blue square", Facts((RED, BLUE), "below")),
        ("a large red circle with a blue square", Facts((RED, BLUE))),
        ("two blue squares and a star", Facts((TWO, Mention("star")))),
        (
            "a drawing of a star, a large red circle and a blue square",
            Facts((Mention("star"), RED, BLUE)),
        ),
    ],
)
def test_captions_by_hand(caption: str, said: Facts) -> None:
    assert parse(caption) == said
    assert caption in paraphrases(said)
    (row,) = data.tokenise([caption])
    assert parse(captions.untokenise(row[None])[0]) == said


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("a red circel", "'circel' does not fit; did you mean 'circle'?"),
        ("two blue square", "'square' does not fit; did you mean 'squares'?"),
        ("a gren star", "'gren' does not fit; did you mean 'green'?"),
        ("a circle to the leaf of a star", "'leaf' does not fit; did you mean 'left'?"),
        ("a pictur of a star", "'pictur' does not fit; did you mean 'picture'?"),
        ("a red large circle", "'large' does not fit; known: circle, cross, square"),
        ("red circle", "'red' does not fit; known: a, one, three, two"),
        ("three circles and a star", "'and' does not fit; the caption ends before it"),
        ("two circles above a star", "'above' does not fit; known: and, with"),
        ("a circle, a star", "it ends too early; known: and"),
        ("a circle left", "it ends too early; known: of"),
        ("", "it ends too early; known: a, one"),
    ],
)
def test_what_does_not_fit_is_named(caption: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(caption)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_become_tokens_for_a_suite_that_prompts() -> None:
    samples = opened("held-out", NOWHERE)
    words = samples.texts["caption"][:20]
    assert samples.tokens("caption", words).equal(samples.condition["caption"][:20])
    with pytest.raises(UsageError, match="did you mean 'squares'"):
        samples.tokens("caption", ["two blue square"])
    with pytest.raises(UsageError, match="did you mean 'caption'"):
        samples.tokens("captoin", words)


@pytest.mark.parametrize(
    ("right", "down", "relation"),
    [
        (8, 4, "left of"),
        (-8, -4, "right of"),
        (4, 8, "above"),
        (0, -20, "below"),
        (8, 4.125, None),
        (7.875, 0, None),
        (12, 12, None),
    ],
)
def test_relations_that_are_stated(right: float, down: float, relation: str | None) -> None:
    one = Item("circle", "red", "small", (8.0, 20.0))
    two = Item("square", "blue", "small", (8 + right, 20 + down))
    assert data.clear_relation(one, two) == relation
