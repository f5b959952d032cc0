"""Diversity within prompts: pairs by hand, and what does not count."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from genbench import evaluate
from genbench.api import Categorical, SampleSpec, TensorSamples
from genbench.api.errors import UsageError
from genbench.metrics.prompt_diversity import PromptDiversity, cosine_distances
from genbench.metrics.resampling import mean

STREAM = torch.Generator().manual_seed(0)


def test_pairs_by_hand() -> None:
    x = torch.randn(23, 6, generator=STREAM)
    prompt = torch.tensor([5] * 8 + [-2] * 4 + [9] * 10 + [1])[torch.randperm(23, generator=STREAM)]
    expected = []
    for number in (-2, 5, 9):
        rows = (prompt == number).nonzero().flatten().tolist()
        pairs = [
            1 - float(torch.cosine_similarity(x[i].double(), x[j].double(), dim=0))
            for i, j in combinations(rows, 2)
        ]
        expected.append(sum(pairs) / len(pairs))
    assert cosine_distances(x, prompt).tolist() == pytest.approx(expected, rel=1e-9)

    metric = PromptDiversity()
    metric.update({"features": x, "prompt": prompt}, "generated")
    estimate, theirs = metric.compute()["prompt_diversity"], mean(torch.tensor(expected))
    assert estimate.value == pytest.approx(theirs.value)
    assert (estimate.low, estimate.high) == pytest.approx((max(0, theirs.low or 0), theirs.high))
    assert estimate.note == "1 of 4 prompts have a single sample, and do not count"


@pytest.mark.parametrize(
    ("rows", "distance"),
    [
        (torch.ones(3, 4), 0.0),
        (torch.eye(4), 1.0),
        (torch.tensor([[1.0, 0.0], [-3.0, 0.0]]), 2.0),
    ],
    ids=["copies", "orthogonal", "opposite"],
)
def test_closed_forms(rows: torch.Tensor, distance: float) -> None:
    prompt = torch.zeros(len(rows), dtype=torch.int64)
    assert cosine_distances(rows, prompt).tolist() == pytest.approx([distance])


def test_what_differs_between_prompts_is_no_diversity() -> None:
    """A set may be diverse as a whole, though each prompt gives one picture over and over."""
    assert cosine_distances(torch.eye(5).repeat(4, 1), torch.arange(5).repeat(4)).max() == 0


def test_it_needs_conditions() -> None:
    with pytest.raises(UsageError, match="needs generated samples with conditions"):
        PromptDiversity().update({"features": torch.ones(2, 2)}, "generated")


def test_classes_are_prompts_too() -> None:
    """Where there are no texts, a prompt is all that samples were asked for."""
    spec = SampleSpec("points", (2,), None, {"label": Categorical(2), "side": Categorical(2)})
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    condition = {"label": torch.tensor([0, 0, 1, 1]), "side": torch.tensor([0, 0, 1, 1])}
    asked = TensorSamples(spec, "by-hand@0", points, condition)
    scores = evaluate(asked, asked, extractor="identity", metrics=["prompt_diversity"])
    assert scores.values["prompt_diversity"].value == pytest.approx(0.5)
    sides = {"label": condition["label"], "side": torch.tensor([0, 1, 0, 1])}
    single = TensorSamples(spec, "by-hand@1", points, sides)
    scores = evaluate(single, asked, extractor="identity", metrics=["prompt_diversity"])
    assert "each of these 4 prompts has one" in scores.skipped["prompt_diversity"]
