"""The reader of shapes: true pictures are accepted, lies refused; hard cases with their answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from genbench.api import SampleSpec
from genbench.api.errors import UsageError
from genbench.data import shapes as data
from genbench.data.shapes.captions import KINDS, RELATIONS, Facts, Mention, parse, tokenise
from genbench.data.shapes.rendering import render
from genbench.data.shapes.scenes import COLOURS, SHAPES, SIZES, Item, Scene, draw_split
from genbench.extractors.shapes import shapes
from genbench.extractors.shapes.checking import Verdict, check
from genbench.extractors.shapes.reading import Objects, read
from genbench.testing import extractor_checks

Pictures = NDArray[np.uint8]


@cache
def scenes() -> tuple[Scene, ...]:
    """8,000 of the test set's law, 2,000 with what was held out."""
    return draw_split("train")[:8000] + draw_split("held-out")


@cache
def facts() -> tuple[Facts, ...]:
    said = data.describe(scenes()[:8000], "train") + data.describe(scenes()[8000:], "held-out")
    return tuple(facts for facts, _ in said)


@cache
def pictures() -> Pictures:
    return render(scenes())


def noisy(clean: Pictures) -> Pictures:
    noise = np.random.default_rng(0).normal(0, 8, clean.shape)
    return (clean + noise).round().clip(0, 255).astype(np.uint8)


def blurred(clean: Pictures) -> Pictures:
    """By a Gaussian of half a pixel."""
    smooth = ndimage.gaussian_filter(clean.astype(float), (0, 0, 0.5, 0.5))
    return smooth.round().astype(np.uint8)


def shifted(clean: Pictures) -> Pictures:
    """The mean of a picture and of those a pixel to the right, down, and both: half a pixel away,
    and blurred by as much."""
    last = clean.astype(float)
    for axis in (2, 3):
        last = (last + np.roll(last, 1, axis)) / 2
    return last.round().astype(np.uint8)


CHANGES: dict[str, Callable[[Pictures], Pictures]] = {
    "clean": lambda clean: clean,
    "noisy": noisy,
    "blurred": blurred,
    "blurred and noisy": lambda clean: noisy(blurred(clean)),
    "shifted": shifted,
}


@cache
def found(change: str) -> list[Objects]:
    """Of all pictures, and for combined changes of the last 2,000."""
    part = pictures() if change in ("clean", "noisy", "blurred") else pictures()[8000:]
    return read(CHANGES[change](part))


def accepted(said: Facts, objects: Sequence[Item | None]) -> bool:
    return all(verdict.holds for verdict in check(said, objects).values() if verdict.stated)


@pytest.mark.parametrize("change", CHANGES)
def test_true_pictures_are_accepted(change: str) -> None:
    """At most one in a thousand is not."""
    objects = found(change)
    right = sum(map(accepted, facts()[-len(objects) :], objects))
    assert right >= 0.999 * len(objects)


def whole(scene: Scene) -> list[tuple[str, str | None, str]]:
    return sorted((item.shape, item.colour, item.size) for item in scene)


@pytest.mark.parametrize("change", ["clean", "noisy", "blurred"])
def test_everything_in_a_picture_is_read(change: str) -> None:
    """Stricter than its caption, which states a part; centres within a quarter of a pixel."""
    for scene, objects in zip(scenes(), found(change), strict=True):
        seen = [item for item in objects if item is not None]
        assert len(objects) == len(seen)
        assert whole(scene) == whole(tuple(seen))
        for item in seen:
            assert min(
                max(abs(a - b) for a, b in zip(item.centre, other.centre, strict=True))
                for other in scene
            ) <= 0.25  # fmt: skip


def another(value: str, values: Sequence[str], draw: random.Random) -> str:
    return draw.choice([other for other in values if other != value])


def lie(said: Facts, kind: str, draw: random.Random) -> Facts | None:
    """``said`` with one fact of ``kind`` changed; ``None`` if it states none."""
    mentions = list(said.mentions)
    if kind == "relation":
        if said.relation is None:
            return None
        return replace(said, relation=another(said.relation, list(RELATIONS), draw))
    if kind == "count":
        place = draw.randrange(len(mentions))
        if said.relation is not None:
            return Facts((replace(mentions[place], count=draw.choice([1, 3])),))
        counts = [count for count in (1, 2, 3) if count != mentions[place].count]
        mentions[place] = replace(mentions[place], count=draw.choice(counts))
        return Facts(tuple(mentions))
    stated = [place for place, mention in enumerate(mentions) if getattr(mention, kind)]
    if not stated:
        return None
    place = draw.choice(stated)
    values = {"colour": tuple(COLOURS), "shape": SHAPES, "size": SIZES}[kind]
    old = getattr(mentions[place], kind)
    mentions[place] = replace(mentions[place], **{kind: another(old, values, draw)})
    return replace(said, mentions=tuple(mentions))


def is_true(said: Facts, scene: Scene) -> bool:
    """Whether a changed caption happens to be true of the scene, as *a circle and a red circle* of
    two red circles."""
    return accepted(said, scene)


@pytest.mark.parametrize("kind", KINDS)
def test_lies_are_refused(kind: str) -> None:
    draw = random.Random(kind)
    told = [lie(said, kind, draw) for said in facts()]
    for change in ("clean", "noisy"):
        lies = [
            (changed, seen)
            for changed, scene, seen in zip(told, scenes(), found(change), strict=True)
            if changed is not None and not is_true(changed, scene)
        ]
        assert len(lies) > 1000
        assert sum(accepted(*each) for each in lies) <= 0.001 * len(lies)
        # And for the right reason, unless another matching is as good.
        assert sum(not check(*each)[kind].holds for each in lies) >= 0.99 * len(lies)


def test_few_changed_captions_are_true_after_all() -> None:
    """Or the test above would prove little."""
    draw = random.Random(1)
    for kind in KINDS:
        lies = [
            (changed, scene)
            for said, scene in zip(facts(), scenes(), strict=True)
            if (changed := lie(said, kind, draw)) is not None
        ]
        assert sum(is_true(*each) for each in lies) < 0.02 * len(lies)


# --- Hard cases. ---


def drawn(*items: Item) -> Pictures:
    return render([items])[0]


def item(shape: str, colour: str, size: str = "large", x: float = 16, y: float = 16) -> Item:
    return Item(shape, colour, size, (x, y))


def over(under: Pictures, top: Pictures) -> Pictures:
    """``top`` hides what lies beneath."""
    return np.where(top.max(axis=0) > 64, top, under)


def cut(picture: Pictures, pixels: int) -> Pictures:
    """Moved to the left by so many pixels, beyond the edge."""
    dark = np.full((3, 32, pixels), 16, dtype=np.uint8)
    return np.concatenate([picture[:, :, pixels:], dark], axis=2)


def halves(left: Pictures, right: Pictures) -> Pictures:
    return np.concatenate([left[:, :, :16], right[:, :, 16:]], axis=2)


DARK = np.full((3, 32, 32), 16, dtype=np.uint8)
RED = drawn(item("circle", "red"))
HARD = {
    "touching, of one colour": over(
        drawn(item("square", "red", x=10)), drawn(item("square", "red", x=18.875))
    ),
    "touching, of two colours": over(
        drawn(item("square", "red", x=10)), drawn(item("square", "blue", x=18.875))
    ),
    "overlapping": over(RED, drawn(item("star", "yellow", x=21))),
    "one hidden by half": over(RED, drawn(item("circle", "red", x=22))),
    "one within another": over(RED, drawn(item("square", "white", "small"))),
    "cut off by the edge": cut(RED, 16),
    "half a circle": halves(RED, DARK),
    "half a square": halves(drawn(item("square", "red")), DARK),
    "half a star": halves(drawn(item("star", "red")), DARK),
    "half red, half blue": halves(RED, drawn(item("circle", "blue"))),
    "all white": np.full((3, 32, 32), 255, dtype=np.uint8),
}


@pytest.mark.parametrize("case", HARD)
def test_one_thing_that_cannot_be_read(case: str) -> None:
    """Which no caption fits."""
    (objects,) = read(HARD[case][None])
    assert objects == (None,)
    for caption in ("a circle", "a red circle", "two squares", "a red circle and a star"):
        verdicts = check(parse(caption), objects)
        assert not verdicts["count"].holds
        assert not verdicts["shape"].holds


def test_similar_colours_in_one_shape_are_no_colour() -> None:
    """Of a shape that is there: only what is said of its colour is wrong."""
    two = halves(drawn(item("square", "pink")), drawn(item("square", "purple")))
    (objects,) = read(two[None])
    assert [(seen.shape, seen.colour, seen.size) for seen in objects if seen] == [
        ("square", None, "large")
    ]
    assert accepted(parse("a large square"), objects)
    verdicts = check(parse("a pink square"), objects)
    assert [kind for kind in KINDS if verdicts[kind] == (True, False)] == ["colour"]


def test_an_empty_picture_has_no_object() -> None:
    assert read(DARK[None]) == [()]
    verdicts = check(parse("a red circle"), ())
    assert verdicts["count"] == verdicts["shape"] == verdicts["colour"] == Verdict(True, False)
    assert verdicts["size"] == verdicts["relation"] == Verdict(False, False)


def test_pure_noise_is_never_read() -> None:
    draw = np.random.default_rng(1)
    uniform = draw.integers(0, 256, (300, 3, 32, 32)).astype(np.uint8)
    sparse = np.where(draw.random((300, 1, 32, 32)) < 0.7, 16, uniform).astype(np.uint8)
    for objects in read(uniform) + read(sparse):
        assert objects
        assert set(objects) == {None}


def test_dust_is_ignored_and_a_smudge_is_not() -> None:
    for pixels, count in ((4, 1), (6, 2)):
        picture = RED.copy()
        picture[:, 1, 1 : 1 + pixels] = 255
        assert len(read(picture[None])[0]) == count


def test_a_shape_at_the_very_edge_is_whole() -> None:
    """Its circumscribed circle reaches beyond: the law draws none there, and a model may."""
    picture = drawn(item("square", "red", x=4.5))
    assert accepted(parse("a large red square"), read(picture[None])[0])
    assert read(cut(picture, 4)[None])[0] == (None,)


def test_pictures_are_read_one_by_one() -> None:
    some = pictures()[:50]
    assert read(some) == [read(picture[None])[0] for picture in some]


# --- What facts hold of objects. ---

LEFT, RIGHT = item("circle", "red", x=8), item("square", "blue", "small", x=24)


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        ("a red circle to the left of a blue square", set()),
        ("a blue square to the right of a red circle", set()),
        ("a large circle and a small square", set()),
        ("a red circle to the right of a blue square", {"relation"}),
        ("a red circle above a blue square", {"relation"}),
        ("a blue circle and a red square", {"colour"}),
        ("a small red circle and a blue square", {"size"}),
        ("a red circle", {"count"}),
        ("three red circles", {"count", "colour", "shape"}),
        ("a red circle and a green star", {"colour", "shape"}),
        ("a red square and a blue circle", {"colour"}),
        ("two circles", {"shape"}),
        ("a star left of a blue square", {"shape"}),
    ],
)
def test_which_facts_hold(caption: str, wrong: set[str]) -> None:
    """Objects are matched so that the most facts hold, and shapes before colours."""
    for objects in ((LEFT, RIGHT), (RIGHT, LEFT)):
        verdicts = check(parse(caption), objects)
        assert {kind for kind in KINDS if verdicts[kind] == (True, False)} == wrong
        assert verdicts["relation"].stated == (" of " in caption or " above " in caption)


def test_a_relation_decides_between_objects_that_are_alike() -> None:
    """The red circle is left of the other circle, which is red as well."""
    objects = (item("circle", "red", x=24), item("circle", "red", x=8))
    said = Facts((Mention("circle", "red"), Mention("circle")), "left of")
    assert accepted(said, objects)
    assert accepted(replace(said, relation="right of"), objects)
    assert not accepted(replace(said, relation="above"), objects)


@pytest.mark.parametrize(
    ("right", "down", "holds"), [(4, 4, True), (3.75, 0, False), (8, 9, False)]
)
def test_how_far_a_relation_must_hold(right: float, down: float, holds: bool) -> None:
    one, two = item("circle", "red", x=8, y=8), item("star", "red", x=8 + right, y=8 + down)
    assert check(parse("a circle left of a star"), (one, two))["relation"].holds == holds


@pytest.mark.parametrize("extra", [item("star", "green", x=16, y=28), None])
def test_something_more_costs_the_count_alone(extra: Item | None) -> None:
    verdicts = check(parse("a red circle left of a small blue square"), (LEFT, RIGHT, extra))
    assert [kind for kind in KINDS if not verdicts[kind].holds] == ["count"]


# --- The extractor. ---


@cache
def held_out() -> data.ShapesSamples:
    return data.shapes("held-out", Path("unused"))


def test_what_it_gives() -> None:
    batch = held_out().take(torch.arange(40))
    known = shapes()(batch.data, data.SPEC, batch.condition, batch.texts)
    from_tokens = shapes()(batch.data, data.SPEC, batch.condition, {})
    assert known["agreement"].equal(from_tokens["agreement"])
    assert known["agreement"].dtype == known["features"].dtype == torch.float32
    assert (known["agreement"].shape, known["features"].shape) == ((40, 12), (40, 64))
    stated, holds = known["agreement"][:, 0:10:2], known["agreement"][:, 1:10:2]
    assert stated.equal(holds)
    assert stated[:, KINDS.index("shape")].all()
    assert known["agreement"][:, 10].all()


def test_facts_are_those_that_the_caption_states() -> None:
    pictures = torch.from_numpy(np.stack([drawn(LEFT, RIGHT), drawn(LEFT)]))
    said = ["a red circle left of a blue square", "two small stars"]
    condition = {"caption": tokenise(said)}
    expected = [
        {"count": True, "colour": True, "shape": True, "relation": True},
        {"count": False, "shape": False, "size": False},
    ]
    for texts in ({"caption": said}, {}):
        assert shapes().facts(pictures, data.SPEC, condition, texts) == expected


def test_features_are_what_is_seen() -> None:
    picture = torch.from_numpy(drawn(LEFT, RIGHT))[None]
    condition = {"caption": tokenise(["a green star"])}
    seen = shapes()(picture, data.SPEC, condition, {"caption": ["a green star"]})
    assert seen["agreement"].tolist() == [[1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1]]
    counts = dict(
        zip([*SHAPES, *COLOURS, *SIZES, "unread"], seen["features"][0, :16].tolist(), strict=True)
    )
    assert {name for name, count in counts.items() if count} == {
        *("circle", "square", "red", "blue", "small", "large")
    }
    blocks = seen["features"][0, 16:].view(3, 4, 4)
    assert torch.allclose(blocks.mean(dim=(1, 2)), picture[0].float().mean(dim=(1, 2)) / 255)
    blank = shapes()(torch.full((1, 3, 32, 32), 255).byte(), data.SPEC, condition, {})
    assert blank["features"][0, :16].tolist() == [0] * 15 + [1]


def test_captions_of_another_data_set_are_refused() -> None:
    batch = held_out().take(torch.arange(1))
    with pytest.raises(UsageError, match="'dog' does not fit"):
        shapes()(batch.data, data.SPEC, batch.condition, {"caption": ["a dog"]})


def test_it_keeps_an_extractor_s_promises() -> None:
    for promise in extractor_checks("shapes", data=["shapes:held-out"]):
        promise()
    assert "not points of shape (2,)" in (shapes().supports(SampleSpec("points", (2,))) or "")
