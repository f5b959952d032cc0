"""Caption agreement: shares by hand, their intervals by scipy, and a whole evaluation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from genbench import evaluate
from genbench.api import TensorSamples
from genbench.data.shapes import SPEC
from genbench.data.shapes.captions import KINDS, tokenise
from genbench.data.shapes.rendering import render
from genbench.data.shapes.scenes import Item
from genbench.evaluation import resolve
from genbench.evaluation.scores import finite
from genbench.metrics.caption_agreement import CaptionAgreement, agreement_scores


def verdicts(*, held_out: bool = False, single: bool = False, **kinds: bool) -> list[float]:
    """A row: each named kind is stated, and holds or not."""
    row = [float(said) for kind in KINDS for said in (kind in kinds, kinds.get(kind, False))]
    return [*row, float(held_out), float(single)]


ROWS = torch.tensor(
    [
        verdicts(count=True, shape=True, held_out=True, single=True),
        verdicts(count=True, shape=True, colour=True, single=True),
        verdicts(count=True, shape=True, colour=False),
        verdicts(count=False, shape=True, colour=True, held_out=True),
        verdicts(count=True, shape=True, size=True, relation=False),
    ]
)


def test_shares_by_hand() -> None:
    """What is not stated counts neither for nor against."""
    values = {name: estimate.value for name, estimate in agreement_scores(ROWS).items()}
    assert values == {
        "correct": 2 / 5,
        "correct_seen": 1 / 3,
        "correct_single": 1,
        "correct_held_out": 1 / 2,
        "count_correct": 4 / 5,
        "colour_correct": pytest.approx(2 / 3),
        "shape_correct": 1,
        "size_correct": 1,
        "relation_correct": 0,
    }


@pytest.mark.parametrize(("right", "of"), [(0, 7), (3, 7), (50, 60), (60, 60)])
def test_intervals_are_wilson_s(right: int, of: int) -> None:
    """Of the captions that state the kind; others do not narrow the interval."""
    rows = [verdicts(count=True, shape=True, colour=k < right) for k in range(of)]
    others = [verdicts(count=True, shape=True)] * 100
    estimate = agreement_scores(torch.tensor(rows + others))["colour_correct"]
    theirs = binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert estimate.value == right / of
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_what_no_caption_states_is_no_score_and_says_why() -> None:
    kept, lost = finite(agreement_scores(torch.tensor([verdicts(count=True, shape=False)])))
    assert kept.keys() == {"correct", "correct_seen", "count_correct", "shape_correct"}
    assert lost == {
        "correct_single": "no caption names one object that training showed",
        "correct_held_out": "no caption names what was held out of training",
        "colour_correct": "no caption states a colour",
        "size_correct": "no caption states a size",
        "relation_correct": "no caption states a relation",
    }


def test_every_output_is_a_share_of_the_group_agreement() -> None:
    (metric,) = resolve(["correct"], seed=0).values()
    assert isinstance(metric, CaptionAgreement)
    assert all(output.higher_is_better for output in metric.outputs.values())
    assert {output.group for output in metric.outputs.values()} == {"agreement"}


def samples(captions: list[str], pictures: Tensor) -> TensorSamples:
    condition = {"caption": tokenise(captions)}
    return TensorSamples(SPEC, f"by-hand@{len(set(captions))}", pictures, condition)


def test_a_whole_evaluation() -> None:
    """The second picture shows a cross where its caption says a star."""
    red = Item("circle", "red", "large", (8.0, 16.0))
    star = Item("star", "blue", "small", (24.0, 16.0))
    pictures = torch.from_numpy(render([(red, star), (red, replace(star, shape="cross"))]))
    captions = ["a red circle left of a blue star", "a circle to the left of a small star"]
    generated = samples(captions, pictures)
    scores = evaluate(
        generated,
        samples(["a circle"] * 2, pictures),
        extractor="shapes",
        metrics=["correct", "shape_correct", "colour_correct", "relation_correct"],
    )
    values = {name: estimate.value for name, estimate in scores.values.items()}
    assert values == {
        "correct": 0.5,
        "shape_correct": 0.5,
        "colour_correct": 1.0,
        "relation_correct": 1.0,
    }
    bare = TensorSamples(replace(SPEC, condition={}), "bare@0", pictures)
    refused = evaluate(bare, generated, extractor="shapes", metrics=["correct"])
    assert "needs the condition 'caption'" in refused.skipped["correct"]
